//! `Axon/idGen.py` (AX-ID-01). The original has no tests of it; these have the names of its methods.

use axon::id::{new_id, num_id, str_id, tuple_id};
use axon::prelude::*;

use crate::common::*;

struct Thing;

/// AX-ID-01.
#[test]
fn test_numId() {
    let (a, b, c) = (num_id(), num_id(), plain().id().get());
    assert!(6 <= a && a < b && b < c, "one counter for everything");
}

/// AX-ID-01.
#[test]
fn test_strId_and_newId() {
    for name in [str_id(&Thing), new_id(&Thing)] {
        let number = name.strip_prefix("axon_parity.id_gen.Thing_").unwrap();
        assert!(number.parse::<u64>().unwrap() >= 6);
    }
    assert_ne!(str_id(&Thing), str_id(&Thing));
}

/// AX-ID-01.
#[test]
fn test_tupleId() {
    let (n, name) = tuple_id(&Thing);
    assert_eq!(name, format!("axon_parity.id_gen.Thing_{n}"));
}
