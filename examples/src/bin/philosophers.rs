//! Five philosophers in threads, whose forks are in a store of versioned values.
//!
//! Original (PR-07): `Code/Python/Axon/Examples/STM/Philosophers.py`.
//!
//! `philosophers [--meals M] [--speed K]`: without `--meals` they go on for ever, as the original does. Each line is
//! checked against the ones before it: neighbours never eat at one time.

use std::sync::Arc;
use std::thread;

use axon::stm::Store;
use examples::philosophers::{N, Options, Table, forks, get_forks, release_forks};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Arc::new(Options::from_args()?);
    let (store, table) = (Store::new(), Arc::new(Table::default()));
    let philosophers = (1..=N).map(|i| {
        let (store, table, options) = (store.clone(), table.clone(), options.clone());
        thread::spawn(move || {
            let (name, forks) = (i.to_string(), forks(i));
            let mut meals = 0;
            while options.meals.is_none_or(|m| meals < m) {
                let x = get_forks(&store, &name, &forks, &options);
                table.got(i, &name, &forks);
                options.sleep(0.2, 0.0);
                table.releases(i, &name);
                release_forks(x, &forks);
                options.sleep(0.3, 1.0);
                meals += 1;
            }
        })
    });
    for philosopher in philosophers.collect::<Vec<_>>() {
        philosopher.join().map_err(|_| "a philosopher did not behave")?;
    }
    if table.most() > 2 {
        return Err(format!("{} ate at one time", table.most()).into());
    }
    println!("all have eaten, and never two neighbours at once");
    Ok(())
}
