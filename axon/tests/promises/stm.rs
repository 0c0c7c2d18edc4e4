//! The store of versioned values (AX-STM).

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use axon::stm::{StmError, Store, Value};

fn text<T: std::fmt::Debug>(v: &Value<T>) -> String {
    v.to_string()
}

/// AX-STM-08, the run that was observed with the original; AX-STM-01, 02, 03, 07 on the way.
#[test]
fn ax_stm_08_two_handles_on_one_value() {
    let s: Store<&str> = Store::new();
    let mut first = s.usevar("h").unwrap();
    assert_eq!(text(&first), "Value(0, None)");
    first.set("a");
    assert_eq!(text(&s.usevar("h").unwrap()), "Value(0, None)", "setting changes the copy alone");
    first.commit().unwrap();
    assert_eq!(text(&first), "Value(1, \"a\")");
    let mut second = s.usevar("h").unwrap();
    second.set("b");
    second.commit().unwrap();
    assert_eq!(text(&s.usevar("h").unwrap()), "Value(2, \"b\")");
    first.set("c");
    assert_eq!(first.commit(), Err(StmError::ConcurrentUpdate));
    assert_eq!(text(&first), "Value(1, \"c\")", "the copy keeps its version");
    assert_eq!(text(&s.usevar("h").unwrap()), "Value(2, \"b\")", "the store is unchanged");
}

#[test]
fn ax_stm_02_the_same_copy_commits_again() {
    let s: Store<u32> = Store::new();
    let mut v = s.usevar("n").unwrap();
    for n in 1..=5 {
        v.set(n);
        v.commit().unwrap();
        assert_eq!((v.version(), s.usevar("n").unwrap().value()), (u64::from(n), Some(&n)));
    }
    v.set(None);
    v.commit().unwrap();
    assert_eq!(s.usevar("n").unwrap().to_string(), "Value(6, None)");
}

#[test]
fn ax_stm_04_a_collection_is_committed_whole_or_not_at_all() {
    let s: Store<i32> = Store::new();
    let mut d = s.using(["one", "two", "mine"]).unwrap();
    d.set("one", 50).unwrap();
    d.set("two", 100).unwrap();
    d.commit().unwrap();

    let mut d = s.using(["one", "two", "mine"]).unwrap();
    d.set("mine", d.value("one").unwrap() + d.value("two").unwrap()).unwrap();
    let mut e = s.using(["one", "mine"]).unwrap();
    e.set("one", 100).unwrap();
    e.commit().unwrap();
    d.set("one", 0).unwrap();
    d.set("two", 0).unwrap();
    assert_eq!(d.commit(), Err(StmError::ConcurrentUpdate));
    let now = s.using(["one", "two", "mine"]).unwrap();
    let texts: Vec<_> = ["one", "two", "mine"].map(|k| now.get(k).unwrap().to_string()).into();
    assert_eq!(texts, ["Value(2, 100)", "Value(1, 100)", "Value(2, None)"], "nothing of it was written");
    assert_eq!(d.get("two").unwrap().version(), 1, "nor are the copies counted on");

    // The same collection may commit many times; a name that is asked for twice is one value.
    let mut again = s.using(["one", "one"]).unwrap();
    again.commit().unwrap();
    again.commit().unwrap();
    assert_eq!((again.keys().count(), again.get("one").unwrap().version()), (1, 4));
}

#[test]
fn a_name_that_a_collection_was_not_asked_for_is_an_error() {
    let s: Store<i32> = Store::new();
    let mut d = s.using(["one"]).unwrap();
    let e = d.set("two", 1).unwrap_err();
    assert_eq!((e.to_string(), d.value("two")), ("\"two\" is not in the collection".into(), None));
}

thread_local! {
    /// What `Meddler::clone` finds when it asks the store that is copying it.
    static FOUND: RefCell<Vec<StmError>> = RefCell::default();
}

/// Asks its store for everything while the store copies it, under its lock.
struct Meddler(Option<Store<Meddler>>);

impl Clone for Meddler {
    fn clone(&self) -> Self {
        if let Some(store) = &self.0 {
            let mut other = OTHER.take().expect("put there before");
            let found = [
                store.usevar("h").err(),
                store.using(["h"]).err(),
                other.commit().err(),
                store.dump_text().err(),
            ];
            FOUND.with_borrow_mut(|f| f.extend(found.into_iter().flatten()));
            OTHER.set(Some(other));
        }
        Self(self.0.clone())
    }
}

impl std::fmt::Debug for Meddler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddler")
    }
}

thread_local! {
    static OTHER: RefCell<Option<axon::stm::Collection<Meddler>>> = const { RefCell::new(None) };
}

#[test]
fn ax_stm_05_a_held_lock_is_not_waited_for_and_nothing_changes() {
    let s: Store<Meddler> = Store::new();
    let mut first = s.usevar("h").unwrap();
    first.set(Meddler(None));
    first.commit().unwrap();
    OTHER.set(Some(s.using(["free"]).unwrap()));
    first.set(Meddler(Some(s.clone())));
    first.commit().unwrap(); // copies it outside the lock, where asking is allowed
    assert!(FOUND.take().is_empty());
    drop(s.usevar("h").unwrap());
    assert_eq!(FOUND.take(), [const { StmError::BusyRetry }; 4]);
    let mut other = OTHER.take().unwrap();
    assert_eq!(other.get("free").unwrap().version(), 1, "only the commit outside the lock counted");
    other.commit().unwrap(); // and the retry is right as it is
    first.set(Meddler(None)); // or the store would hold itself for ever
    first.commit().unwrap();
}

#[test]
fn ax_stm_06_values_go_in_and_out_as_deep_copies() {
    let s: Store<Vec<u8>> = Store::new();
    let mut v = s.usevar("list").unwrap();
    let mut mine = vec![1, 2];
    v.set(mine.clone());
    v.commit().unwrap();
    mine.push(3);
    v.set(mine);
    let out = s.usevar("list").unwrap();
    assert_eq!(out.value(), Some(&vec![1, 2]));
}

#[test]
fn ax_stm_07_a_dump_has_a_heading_and_a_line_each() {
    let s: Store<u8> = Store::new();
    let mut v = s.usevar("b").unwrap();
    v.set(7);
    v.commit().unwrap();
    s.usevar("a").unwrap();
    assert_eq!(
        s.dump_text().unwrap(),
        "DEBUG: Store dump ------------------------------\n      a : Value(0, None)\n      b : Value(1, 7)\n\n"
    );
    s.dump().unwrap();
}

/// D-44: a copy is committed to the store that it came from, and leaves one with the same name elsewhere alone.
#[test]
fn d44_a_value_belongs_to_its_store() {
    let (a, b): (Store<u8>, Store<u8>) = (Store::new(), Store::new());
    let mut of_a = a.usevar("h").unwrap();
    b.usevar("h").unwrap();
    of_a.set(1);
    of_a.commit().unwrap();
    assert_eq!((a.usevar("h").unwrap().version(), b.usevar("h").unwrap().version()), (1, 0));
}

#[test]
fn a_clone_that_panics_leaves_the_store_as_it_was() {
    static BOMB: AtomicBool = AtomicBool::new(false);
    #[derive(Debug)]
    struct Bomb(u8);
    impl Clone for Bomb {
        fn clone(&self) -> Self {
            assert!(self.0 != 9 || !BOMB.load(Ordering::Relaxed), "in clone");
            Self(self.0)
        }
    }
    let s: Store<Bomb> = Store::new();
    let mut d = s.using(["a", "b"]).unwrap();
    d.set("a", Bomb(1)).unwrap();
    d.set("b", Bomb(9)).unwrap();
    BOMB.store(true, Ordering::Relaxed);
    let theirs = thread::spawn(move || d.commit());
    assert!(theirs.join().is_err());
    assert_eq!(s.usevar("a").unwrap().version(), 0);
    BOMB.store(false, Ordering::Relaxed);
    assert!(s.using(["a", "b"]).unwrap().commit().is_ok(), "it can still be used");
}

/// Threads that move money between accounts never make or lose any, and each commit counts.
#[test]
fn many_threads_lose_no_update() {
    const THREADS: usize = 4;
    const MOVES: usize = crate::rounds(300);
    let s: Store<i64> = Store::new();
    let (stale, busy) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let all: Vec<_> = (0..THREADS)
        .map(|n| {
            let (s, stale, busy) = (s.clone(), stale.clone(), busy.clone());
            thread::spawn(move || {
                let (from, to) = (format!("{}", n % 3), format!("{}", (n + 1) % 3));
                for _ in 0..MOVES {
                    loop {
                        let once = || {
                            let mut d = s.using([&*from, &*to])?;
                            d.set(&from, d.value(&from).unwrap_or(&0) - 1)?;
                            d.set(&to, d.value(&to).unwrap_or(&0) + 1)?;
                            thread::yield_now();
                            loop {
                                match d.commit() {
                                    Err(StmError::BusyRetry) => busy.fetch_add(1, Ordering::Relaxed),
                                    done => return done,
                                };
                            }
                        };
                        match once() {
                            Ok(()) => break,
                            Err(StmError::ConcurrentUpdate) => stale.fetch_add(1, Ordering::Relaxed),
                            Err(_) => busy.fetch_add(1, Ordering::Relaxed),
                        };
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    all.into_iter().for_each(|t| t.join().unwrap());
    let end = s.using(["0", "1", "2"]).unwrap();
    let sum: i64 = ["0", "1", "2"].iter().map(|k| end.value(k).unwrap()).sum();
    let versions: u64 = ["0", "1", "2"].iter().map(|k| end.get(k).unwrap().version()).sum();
    assert_eq!((sum, versions), (0, 2 * (THREADS * MOVES) as u64));
    // Net flow: account n loses what the threads with from = n moved, and gains from those with to = n.
    let mut net = HashMap::new();
    for n in 0..THREADS {
        *net.entry(n % 3).or_insert(0) -= MOVES as i64;
        *net.entry((n + 1) % 3).or_insert(0) += MOVES as i64;
    }
    for (account, amount) in net {
        assert_eq!(end.value(&account.to_string()), Some(&amount));
    }
}
