//! One connection: what is known of the peer, what it was asked for and what it asks for.

pub mod fast;
pub mod flood;
