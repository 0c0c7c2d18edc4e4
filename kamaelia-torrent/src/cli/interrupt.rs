//! Ctrl-C as a component: what the user presses becomes a message.

use std::sync::OnceLock;

use axon::prelude::*;
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{Done, Failure};

ports! {
    /// Boxes of an [`Interrupt`].
    pub(crate) struct InterruptPorts {
        in  { /// Any message ends it.
              control: Ipc }
        out { /// A message each time the user asks to stop.
              outbox: () }
    }
}

/// Sends a message for each SIGINT, SIGTERM or SIGHUP, those before its activation included. The third one ends the
/// program on the spot.
pub(crate) struct Interrupt {
    receiver: Receiver<Wake>,
}

enum Wake {
    Signal,
    Message,
}

static SENDER: OnceLock<Sender<Wake>> = OnceLock::new();

impl Interrupt {
    /// Catches the signals from now on. Once in a process.
    pub(crate) fn install() -> Result<Self, Failure> {
        let (sender, receiver) = unbounded();
        if SENDER.set(sender.clone()).is_err() {
            return Err(Failure::Failed("Ctrl-C is handled already".into()));
        }
        let mut times = 0;
        ctrlc::set_handler(move || {
            times += 1;
            if times >= 3 {
                std::process::exit(130);
            }
            let _ = sender.send(Wake::Signal);
        })?;
        Ok(Self { receiver })
    }

    /// Whether the user has asked to stop; for work that is done before, or without, the component.
    pub(crate) fn asked(&self) -> bool {
        !self.receiver.is_empty()
    }
}

impl Component for Interrupt {
    type Ports = InterruptPorts;

    async fn main(self, cx: Cx<InterruptPorts>) {
        let receiver = self.receiver;
        cx.on_thread(move |thread| {
            if let Some(sender) = SENDER.get() {
                thread.replace_bell(move || {
                    let _ = sender.send(Wake::Message);
                });
            }
            while let Ok(wake) = receiver.recv() {
                match wake {
                    Wake::Signal => {
                        let _ = thread.outbox.blocking_send(());
                    }
                    Wake::Message => {
                        thread.hear();
                    }
                }
                if thread.control.try_recv().is_some() || thread.is_closed() {
                    break;
                }
            }
        })
        .await;
    }
}

/// Whether a run that ended in order was interrupted.
pub(crate) fn done_or_interrupted(interrupted: bool) -> Done {
    if interrupted { Err(Failure::Interrupted) } else { Ok(()) }
}
