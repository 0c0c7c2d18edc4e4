//! One component that ends at random, normally or with an error.
//!
//! Original (PR-06): `Code/Python/Axon/Examples/Immortalise/Crasher.py`.
//!
//! ```text
//! Crasher        no links
//! ```
//!
//! `crasher [SEED] [--mortal]`: an immortal scheduler (as the original is set) goes on after the error, a mortal one
//! ends with it. With a seed the outcome is always the same.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use axon::OnFailure;
use axon::prelude::*;

ports! { /// No boxes.
pub struct NoPorts { in {} out {} } }

#[derive(Debug)]
struct MyException;

impl fmt::Display for MyException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("my exception")
    }
}

impl std::error::Error for MyException {}

/// The state of a small generator of random numbers (xorshift).
struct Crasher(u64);

impl Crasher {
    /// A number from 0 to 100.
    fn randint(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 101
    }
}

impl Component for Crasher {
    type Ports = NoPorts;
    async fn main(mut self, cx: Cx<NoPorts>) {
        loop {
            if self.randint() < 5 {
                println!("Returning Normally");
                return;
            } else if self.randint() < 10 {
                println!("Raising Exception");
                return cx.end_with(Err(MyException));
            }
            cx.yield_now().await;
        }
    }
}

fn main() -> axon::Result<()> {
    let seed = std::env::args().nth(1).and_then(|a| a.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_nanos() as u64);
    let scheduler = Scheduler::new();
    if !std::env::args().any(|a| a == "--mortal") {
        scheduler.set_on_failure(OnFailure::GoOn);
    }
    let crasher = Crasher(seed.unwrap_or(now) | 1 << 40).create();
    crasher.on_stop(|| println!(".stop() called in Crasher"));
    scheduler.activate(&crasher);
    scheduler.run()
}
