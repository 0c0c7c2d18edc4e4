//! A circular pipeline: a growing text goes round, and is damaged on its way when it gets too long.
//!
//! Original (PR-12): `Code/Python/Kamaelia/Examples/UsingChassis/Pipeline/Feedback.py`.
//!
//! ```text
//! circular Pipeline(LSystem, ConsoleEchoer, Damage)      LSystem: a thread
//! ```
//!
//! `feedback [--rounds N] [--nap MILLISECONDS] [--seed N]`: how often it goes round (for ever), how long it rests (400),
//! which letters are lost. Unlike the original, the next text is made after the rest, of what has come back: there it
//! is a matter of luck whether the last one is back in time.

use std::thread;
use std::time::Duration;

use axon::BoxError;
use axon::prelude::*;
use axon::threaded::ThreadedComponent;
use axon::util::ConsoleEchoer;
use examples::option;

ports! { /// The default boxes, for text.
pub struct TextPorts {
    in { /// The model as it came round.
         inbox: String,
         /// Shutdown requests.
         control: Ipc }
    out { /// The model.
          outbox: String,
          /// Passed on when it stops.
          signal: Ipc }
} }

/// A simple L system modeller. Allows replacement of the model for the purposes of handling feedback.
struct LSystem {
    rounds: Option<u64>,
    nap: Duration,
}

fn mutate_model(model: &str) -> String {
    let rules = |atom| match atom {
        'B' => "BTL".into(),
        'L' => "B".into(),
        other => String::from(other),
    };
    model.chars().map(rules).collect()
}

impl ThreadedComponent for LSystem {
    type Ports = TextPorts;
    fn main(self, cx: ThreadCx<TextPorts>) -> Result<(), BoxError> {
        let mut model = "B".to_string();
        for round in 1.. {
            cx.outbox.blocking_send(model)?;
            thread::sleep(self.nap);
            while cx.inbox.is_empty() && cx.control.is_empty() {
                cx.pause(None);
            }
            if let Some(message) = cx.control.try_recv() {
                cx.signal.blocking_send(message)?;
                break;
            }
            if self.rounds.is_some_and(|rounds| round >= rounds) {
                cx.signal.blocking_send(Ipc::producer_finished())?;
                break;
            }
            model = mutate_model(&cx.inbox.recv()?);
        }
        Ok(())
    }
}

/// Simple L-System damager; its number is the state of a small generator of random numbers (xorshift).
struct Damage(u64);

impl Damage {
    fn randint(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 101
    }

    fn damage_model(&mut self, model: &str) -> String {
        let dratio = if model.len() > 60 { 50 } else { 0 };
        model.chars().filter(|_| self.randint() >= dratio).collect()
    }
}

impl Component for Damage {
    type Ports = TextPorts;
    async fn main(mut self, cx: Cx<TextPorts>) {
        loop {
            while let Some(model) = cx.inbox.try_recv() {
                let _ = cx.outbox.send(self.damage_model(&model));
            }
            if let Some(message) = cx.control.try_recv() {
                let _ = cx.signal.send(message);
                return;
            }
            cx.pause().await;
        }
    }
}

fn main() -> axon::Result<()> {
    let nap = Duration::from_millis(option("--nap").unwrap_or(400));
    Pipeline::new()
        .then(Threaded::new(LSystem { rounds: option("--rounds"), nap }))
        .then(ConsoleEchoer::new().tag("\n").forwarder()) // Would be nice to be a renderer
        .then(Damage(option("--seed").unwrap_or(1) | 1 << 40))
        .circular()
        .run()
}
