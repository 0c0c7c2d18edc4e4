//! actix: actors on one thread, messages by `do_send`.

use actix::prelude::*;

use crate::programs::BURST;

#[derive(Message)]
#[rtype(result = "()")]
struct Number(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct Go;

#[derive(Message)]
#[rtype(result = "()")]
struct Next(Recipient<Number>);

struct Source {
    left: u64,
    to: Recipient<Number>,
}

impl Actor for Source {
    type Context = Context<Self>;
    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Go);
    }
}

impl Handler<Go> for Source {
    type Result = ();
    fn handle(&mut self, _: Go, ctx: &mut Self::Context) {
        let burst = self.left.min(BURST);
        for i in 0..burst {
            self.to.do_send(Number(i));
        }
        self.left -= burst;
        if self.left > 0 {
            ctx.notify(Go);
        }
    }
}

/// Passes so many numbers on, or only counts them; the last of all stops the system.
struct Relay {
    left: u64,
    to: Option<Recipient<Number>>,
    stops: bool,
}

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Handler<Number> for Relay {
    type Result = ();
    fn handle(&mut self, Number(n): Number, _: &mut Self::Context) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        match &self.to {
            Some(to) => to.do_send(Number(n + 1)),
            None => {
                std::hint::black_box(n);
            }
        }
        if self.left == 0 && self.stops {
            System::current().stop();
        }
    }
}

impl Handler<Next> for Relay {
    type Result = ();
    fn handle(&mut self, Next(to): Next, _: &mut Self::Context) {
        self.to = Some(to);
    }
}

fn run(make: impl FnOnce()) {
    let system = System::new();
    system.block_on(async { make() });
    system.run().expect("the system stops in order");
}

pub(crate) fn pipeline(relays: usize, messages: u64) {
    run(|| {
        let mut to = Relay { left: messages, to: None, stops: true }.start().recipient();
        for _ in 0..relays {
            to = Relay { left: messages, to: Some(to), stops: false }.start().recipient();
        }
        Source { left: messages, to }.start();
    });
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    run(|| {
        let all: Vec<_> =
            (0..nodes).map(|i| Relay { left: rounds, to: None, stops: i + 1 == nodes }.start()).collect();
        for i in 0..nodes {
            all[i].do_send(Next(all[(i + 1) % nodes].clone().recipient()));
        }
        all[0].do_send(Number(0));
    });
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    run(|| {
        let sink = Relay { left: producers as u64 * each, to: None, stops: true }.start();
        for _ in 0..producers {
            Source { left: each, to: sink.clone().recipient() }.start();
        }
    });
}

pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    let system = System::new();
    system.block_on(async move {
        let all: Vec<_> = (0..count).map(|_| Relay { left: 1, to: None, stops: false }.start()).collect();
        // Each has had its first turn after this.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        look();
        drop(all);
    });
}
