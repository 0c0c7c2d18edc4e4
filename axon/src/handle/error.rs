//! What can go wrong at a handle.

use std::fmt;

/// Why a message was not put; it is given back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutError<T> {
    /// There is no room at the moment.
    Full(T),
    /// The component has ended, or its input was closed.
    Ended(T),
}

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetError {
    /// There is none at the moment, or none came in time.
    Empty,
    /// The component has ended, and everything that it sent was got.
    Ended,
}

impl<T> PutError<T> {
    /// The message that was not put.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::Ended(message) => message,
        }
    }

    /// Whether waiting can help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "no room for another message",
            Self::Ended(_) => "the component has ended or its input was closed",
        })
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutError({self})")
    }
}

impl<T> std::error::Error for PutError<T> {}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no message",
            Self::Ended => "the component has ended",
        })
    }
}

impl std::error::Error for GetError {}
