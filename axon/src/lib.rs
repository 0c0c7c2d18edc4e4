#![forbid(unsafe_code)]
//! Components that talk only through inboxes and outboxes.
