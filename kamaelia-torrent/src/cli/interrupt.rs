//! Ctrl-C as a component: what the user presses becomes a message.

use std::sync::atomic::{AtomicBool, Ordering};

use axon::prelude::*;
use crossbeam_channel::{Sender, unbounded};

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

/// Sends a message for each SIGINT, SIGTERM or SIGHUP. The third one ends the program on the spot.
pub(crate) struct Interrupt;

enum Wake {
    Signal,
    Message,
}

static INSTALLED: AtomicBool = AtomicBool::new(false);
static SENDER: std::sync::Mutex<Option<Sender<Wake>>> = std::sync::Mutex::new(None);

impl Interrupt {
    /// Catches the signals from now on.
    pub(crate) fn install() -> Result<Self, Failure> {
        if !INSTALLED.swap(true, Ordering::SeqCst) {
            let mut times = 0;
            ctrlc::set_handler(move || {
                times += 1;
                if times >= 3 {
                    std::process::exit(130);
                }
                if let Some(sender) = &*SENDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) {
                    let _ = sender.send(Wake::Signal);
                }
            })?;
        }
        Ok(Self)
    }
}

impl Component for Interrupt {
    type Ports = InterruptPorts;

    async fn main(self, cx: Cx<InterruptPorts>) {
        cx.on_thread(|thread| {
            let (sender, receiver) = unbounded();
            *SENDER.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(sender.clone());
            thread.replace_bell(move || {
                let _ = sender.send(Wake::Message);
            });
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
