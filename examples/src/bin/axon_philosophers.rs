//! Five philosophers as threaded components, whose forks are in a store of versioned values.
//!
//! Original (PR-07): `Code/Python/Axon/Examples/STM/Axon.Philosophers.py`.
//!
//! ```text
//! Philosopher (5 of them)        no links: what they share is the store
//! ```
//!
//! `axon_philosophers [--meals M] [--speed K]`: without `--meals` they go on for ever, as the original does. Each line
//! is checked against the ones before it: neighbours never eat at one time.

use std::sync::Arc;

use axon::BoxError;
use axon::prelude::*;
use axon::stm::Store;
use examples::philosophers::{N, Options, Table, forks, get_forks, release_forks};

ports! { /// No boxes.
pub struct NoPorts { in {} out {} } }

struct Philosopher {
    seat: usize,
    store: Store<String>,
    table: Arc<Table>,
    options: Arc<Options>,
}

impl ThreadedComponent for Philosopher {
    type Ports = NoPorts;

    fn main(self, cx: ThreadCx<NoPorts>) -> Result<(), BoxError> {
        let Self { seat, store, table, options } = self;
        let forks = forks(seat);
        let mut meals = 0;
        while options.meals.is_none_or(|m| meals < m) {
            let x = get_forks(&store, cx.name(), &forks, &options);
            table.got(seat, cx.name(), &forks);
            options.sleep(0.2, 0.0);
            table.releases(seat, cx.name());
            release_forks(x, &forks);
            options.sleep(0.3, 1.0);
            meals += 1;
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Arc::new(Options::from_args()?);
    let (store, table) = (Store::new(), Arc::new(Table::default()));
    let scheduler = Scheduler::new();
    for seat in 1..=N {
        let (store, table, options) = (store.clone(), table.clone(), options.clone());
        scheduler.activate(Threaded::new(Philosopher { seat, store, table, options }));
    }
    scheduler.run()?;
    if table.most() > 2 {
        return Err(format!("{} ate at one time", table.most()).into());
    }
    println!("all have eaten, and never two neighbours at once");
    Ok(())
}
