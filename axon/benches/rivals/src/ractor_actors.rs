//! ractor: actors as tasks of a current-thread tokio runtime, messages by `cast`.

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::programs::BURST;

enum Message {
    Go,
    Number(u64),
    Next(ActorRef<Message>),
}

type Failure = Result<(), ActorProcessingErr>;

struct Source;

impl Actor for Source {
    type Msg = Message;
    type State = (u64, ActorRef<Message>);
    type Arguments = (u64, ActorRef<Message>);

    async fn pre_start(
        &self,
        me: ActorRef<Message>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        me.cast(Message::Go)?;
        Ok(arguments)
    }

    async fn handle(&self, me: ActorRef<Message>, _: Message, (left, to): &mut Self::State) -> Failure {
        let burst = (*left).min(BURST);
        for i in 0..burst {
            to.cast(Message::Number(i))?;
        }
        *left -= burst;
        if *left > 0 {
            me.cast(Message::Go)?;
        }
        Ok(())
    }
}

struct Relay;

/// Messages to pass on, where to, and whom to tell when all have passed.
#[derive(Default)]
struct Passing {
    left: u64,
    to: Option<ActorRef<Message>>,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Relay {
    type Msg = Message;
    type State = Passing;
    type Arguments = Passing;

    async fn pre_start(&self, _: ActorRef<Message>, passing: Passing) -> Result<Passing, ActorProcessingErr> {
        Ok(passing)
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, state: &mut Passing) -> Failure {
        match message {
            Message::Go => {}
            Message::Next(to) => state.to = Some(to),
            Message::Number(_) if state.left == 0 => {}
            Message::Number(n) => {
                state.left -= 1;
                match &state.to {
                    Some(to) => to.cast(Message::Number(n + 1))?,
                    None => {
                        std::hint::black_box(n);
                    }
                }
                if state.left == 0
                    && let Some(done) = state.done.take()
                {
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }
}

async fn relay(
    left: u64,
    to: Option<ActorRef<Message>>,
    done: Option<oneshot::Sender<()>>,
) -> ActorRef<Message> {
    Relay::spawn(None, Relay, Passing { left, to, done }).await.expect("it starts").0
}

fn run<F: Future<Output = ()>>(body: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a timer needs nothing from outside").block_on(body);
}

pub(crate) fn pipeline(relays: usize, messages: u64) {
    run(async move {
        let (done, end) = oneshot::channel();
        let mut to = relay(messages, None, Some(done)).await;
        for _ in 0..relays {
            to = relay(messages, Some(to), None).await;
        }
        Source::spawn(None, Source, (messages, to)).await.expect("it starts");
        let _ = end.await;
    });
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    run(async move {
        let (done, end) = oneshot::channel();
        let mut done = Some(done);
        let mut all = Vec::new();
        for i in 0..nodes {
            all.push(relay(rounds, None, if i + 1 == nodes { done.take() } else { None }).await);
        }
        for i in 0..nodes {
            let _ = all[i].cast(Message::Next(all[(i + 1) % nodes].clone()));
        }
        let _ = all[0].cast(Message::Number(0));
        let _ = end.await;
    });
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    run(async move {
        let (done, end) = oneshot::channel();
        let sink = relay(producers as u64 * each, None, Some(done)).await;
        for _ in 0..producers {
            Source::spawn(None, Source, (each, sink.clone())).await.expect("it starts");
        }
        let _ = end.await;
    });
}

pub(crate) fn idle(count: usize, look: impl FnOnce()) {
    run(async move {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(relay(1, None, None).await);
        }
        tokio::task::yield_now().await;
        look();
    });
}
