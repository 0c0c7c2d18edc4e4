//! What both programs of the philosophers share: the forks, the waits, and a look at their own output.

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::time::Duration;

use axon::stm::{Collection, StmError, Store};

/// How many of them there are, and how many forks.
pub const N: usize = 5;

/// `[--meals M] [--speed K]`: to end after so many meals each, and to wait so many times shorter.
pub struct Options {
    /// Meals of each; nothing means that they go on for ever.
    pub meals: Option<u32>,
    /// What all waits are divided by.
    pub speed: f64,
}

impl Options {
    /// Reads the program's arguments.
    ///
    /// # Errors
    /// The argument that is wrong.
    pub fn from_args() -> Result<Self, String> {
        let (mut options, mut args) = (Self { meals: None, speed: 1.0 }, std::env::args().skip(1));
        while let Some(name) = args.next() {
            let value = args.next().unwrap_or_default();
            let wrong = || format!("wrong value {value:?} for {name}");
            match &*name {
                "--meals" => options.meals = Some(value.parse().map_err(|_| wrong())?),
                "--speed" => match value.parse() {
                    Ok(speed) if speed > 0.0 => options.speed = speed,
                    _ => return Err(wrong()),
                },
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        Ok(options)
    }

    /// Sleeps for some seconds, and up to so many more.
    pub fn sleep(&self, seconds: f64, more: f64) {
        // A hasher of the standard library has random keys: enough for philosophers.
        let random = RandomState::new().hash_one(()) as f64 / u64::MAX as f64;
        std::thread::sleep(Duration::from_secs_f64((seconds + more * random) / self.speed));
    }
}

/// The two forks of philosopher `i`, from 1.
pub fn forks(i: usize) -> [String; 2] {
    [format!("fork.{i}"), format!("fork.{}", i % N + 1)]
}

/// Takes both forks, trying again until nobody else has them.
pub fn get_forks(
    store: &Store<String>,
    name: &str,
    forks: &[String; 2],
    options: &Options,
) -> Collection<String> {
    let attempt = || -> Result<Option<Collection<String>>, StmError> {
        let mut x = store.using(forks)?;
        if forks.iter().any(|fork| x.value(fork).is_some()) {
            return Ok(None);
        }
        for fork in forks {
            x.set(fork, name.to_string())?;
        }
        x.commit()?;
        Ok(Some(x))
    };
    loop {
        match attempt() {
            Ok(Some(x)) => return x,
            // Taken, updated by somebody else meanwhile, or busy: the original waits as long for either.
            Ok(None) | Err(_) => options.sleep(0.0, 1.0),
        }
    }
}

/// Puts both forks back.
pub fn release_forks(mut x: Collection<String>, forks: &[String; 2]) {
    for fork in forks {
        x.set(fork, None).expect("both were asked for");
    }
    // Nobody else changes a fork that is taken, so the store can only be busy.
    while x.commit() == Err(StmError::BusyRetry) {
        std::thread::yield_now();
    }
}

/// Prints what the philosophers say, and checks each line against those before it.
#[derive(Default)]
pub struct Table(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    eats: [bool; N + 1],
    most: usize,
}

impl Table {
    /// Philosopher `i` has its forks.
    ///
    /// # Panics
    /// A neighbour eats.
    pub fn got(&self, i: usize, name: &str, forks: &[String; 2]) {
        let mut seen = self.0.lock().expect("nobody panics while printing");
        println!("Got forks! {name} {forks:?}");
        for neighbour in [i % N + 1, (i + N - 2) % N + 1] {
            assert!(!seen.eats[neighbour], "{name} eats beside philosopher {neighbour}");
        }
        seen.eats[i] = true;
        seen.most = seen.most.max(seen.eats.iter().filter(|e| **e).count());
    }

    /// Philosopher `i` is about to put its forks back.
    pub fn releases(&self, i: usize, name: &str) {
        let mut seen = self.0.lock().expect("nobody panics while printing");
        println!("releasing forks {name}");
        seen.eats[i] = false;
    }

    /// The most that ate at one time.
    pub fn most(&self) -> usize {
        self.0.lock().expect("nobody panics while printing").most
    }
}
