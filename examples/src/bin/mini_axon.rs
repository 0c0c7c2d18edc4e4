//! MiniAxon: a component framework in a page, with one program.
//!
//! Original (PR-01): `Website/markdown/MiniAxonFull.md`.
//!
//! ```text
//! Producer.outbox -> postman -> Consumer.inbox
//! ```
//!
//! Nothing here uses the `axon` crate; it shows what that is made of. A microprocess is an async block, a scheduler
//! steps each in turn, a component has boxes, and a postman carries messages from one box to another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

type Microprocess = Pin<Box<dyn Future<Output = ()>>>;

/// Gives up the rest of the turn: the original's `yield 1`.
async fn yield_1() {
    let mut yielded = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

#[derive(Default)]
struct Scheduler {
    active: Vec<Microprocess>,
    newqueue: Vec<Microprocess>,
}

impl Scheduler {
    fn activate_microprocess(&mut self, someprocess: impl Future<Output = ()> + 'static) {
        self.newqueue.push(Box::pin(someprocess));
    }

    /// A hundred rounds; in each, every process gets one turn.
    fn main(&mut self) {
        for _ in 0..100 {
            for mut current in std::mem::take(&mut self.active) {
                if current.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                    self.newqueue.push(current);
                }
            }
            self.active = std::mem::take(&mut self.newqueue);
        }
    }
}

/// The boxes of a component; who holds one can send, receive, and ask whether data is ready.
#[derive(Clone, Default)]
struct Component {
    inbox: Rc<RefCell<VecDeque<String>>>,
    outbox: Rc<RefCell<VecDeque<String>>>,
}

async fn postman(source: Component, sink: Component) {
    loop {
        yield_1().await;
        let letter = source.outbox.borrow_mut().pop_front();
        if let Some(letter) = letter {
            sink.inbox.borrow_mut().push_back(letter);
        }
    }
}

async fn producer(me: Component, message: &'static str) {
    loop {
        yield_1().await;
        me.outbox.borrow_mut().push_back(message.into());
    }
}

async fn consumer(me: Component) {
    let mut count = 0;
    loop {
        yield_1().await;
        count += 1; // to show that the data changes
        if let Some(data) = me.inbox.borrow_mut().pop_front() {
            println!("{data} {count}");
        }
    }
}

fn main() {
    let (p, c) = (Component::default(), Component::default());
    let mut scheduler = Scheduler::default();
    scheduler.activate_microprocess(producer(p.clone(), "Hello World"));
    scheduler.activate_microprocess(consumer(c.clone()));
    scheduler.activate_microprocess(postman(p, c));
    scheduler.main();
}
