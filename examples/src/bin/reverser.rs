//! Like Unix's `rev`: each line of the input comes back reversed, by a component in the background.
//!
//! Original (PR-08): `Code/Python/Axon/Examples/Handles/reverser.py`.
//!
//! ```text
//! ordinary code -> Handle -> Reverser -> Handle -> ordinary code
//! ```

use std::io::stdin;

use axon::background::Background;
use axon::handle::Handle;
use axon::prelude::*;

ports! { /// Boxes of a reverser.
pub struct TextPorts {
    in  { /// Texts to reverse.
          inbox: String,
          /// Shutdown requests.
          control: Ipc }
    out { /// Reversed texts.
          outbox: String,
          /// Unused.
          signal: Ipc }
} }

struct Reverser;

impl Component for Reverser {
    type Ports = TextPorts;
    async fn main(self, cx: Cx<TextPorts>) {
        loop {
            while let Some(item) = cx.inbox.try_recv() {
                let _ = cx.outbox.send_wait(item.chars().rev().collect()).await; // a text is what it takes
            }
            if cx.control.try_recv().is_some() {
                return; // the original goes on for ever
            }
            cx.pause().await;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let background = Background::new()?.start()?;
    let reverser: Handle<String, String> = Handle::new(background.handle(), || Reverser);
    for line in stdin().lines() {
        reverser.blocking_put(line?.trim_end().to_string())?;
        println!("{}", reverser.blocking_get()?);
    }
    drop(reverser);
    background.join()?;
    Ok(())
}
