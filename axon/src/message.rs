//! The untyped message: any `Send` value.

use std::any::{Any, TypeId, type_name};
use std::fmt;

use crate::ipc::Ipc;

/// A message of any type, for generic components and for straight ports of dynamic graphs.
///
/// Numbers, text, bytes and [`Ipc`] are held in place; other values in one heap allocation. A typed outbox can be
/// linked to an inbox of `Message` and the other way round: the first never fails, the second hands the message back
/// ([`SendError::WrongType`]) if it is of another type.
///
/// [`SendError::WrongType`]: crate::SendError::WrongType
///
/// ```
/// use axon::Message;
/// let m = Message::new(String::from("hello"));
/// assert_eq!(m.to_string(), "hello");
/// assert_eq!(m.downcast::<String>().unwrap(), "hello");
/// assert!(Message::new(1_u64).downcast::<String>().is_err());
/// ```
pub struct Message(Repr);

enum Repr {
    Unit,
    Bool(bool),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Usize(usize),
    F64(f64),
    Str(&'static str),
    Text(String),
    Bytes(Vec<u8>),
    Ipc(Ipc),
    Other(Box<dyn Value>),
}

/// Runs `$go!(Variant, Type)` for each type that is held in place.
macro_rules! in_place {
    ($go:ident) => {
        $go!(Unit0, ());
        $go!(Bool, bool);
        $go!(I32, i32);
        $go!(U32, u32);
        $go!(I64, i64);
        $go!(U64, u64);
        $go!(Usize, usize);
        $go!(F64, f64);
        $go!(Str, &'static str);
        $go!(Text, String);
        $go!(Bytes, Vec<u8>);
        $go!(Ipc, Ipc);
    };
}

impl Message {
    /// Wraps a value. Wrapping a `Message` gives it back unchanged.
    pub fn new<T: Any + Send>(value: T) -> Self {
        // Each comparison is of two constants, so that only one arm is left in the compiled code.
        let mut value = Some(value);
        let slot: &mut dyn Any = &mut value;
        if let Some(m) = slot.downcast_mut::<Option<Message>>() {
            return m.take().expect("just filled");
        }
        macro_rules! take {
            (Unit0, $t:ty) => {
                if slot.downcast_mut::<Option<$t>>().is_some() {
                    return Self(Repr::Unit);
                }
            };
            ($variant:ident, $t:ty) => {
                if let Some(v) = slot.downcast_mut::<Option<$t>>() {
                    return Self(Repr::$variant(v.take().expect("just filled")));
                }
            };
        }
        in_place!(take);
        Self(Repr::Other(Box::new(Opaque(value.expect("just filled")))))
    }

    /// Wraps a value so that generic components (an echoer, say) can show its text.
    pub fn shown<T: Any + Send + fmt::Display>(value: T) -> Self {
        if is_in_place::<T>() || TypeId::of::<T>() == TypeId::of::<Message>() {
            return Self::new(value);
        }
        Self(Repr::Other(Box::new(Shown(value))))
    }

    /// Whether the value is a `T`.
    pub fn is<T: Any>(&self) -> bool {
        self.value().is::<T>()
    }

    /// The value, if it is a `T`.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        self.value().downcast_ref::<T>()
    }

    /// Takes the value out.
    ///
    /// # Errors
    /// The message itself, if it is not a `T`.
    pub fn downcast<T: Any + Send>(self) -> Result<T, Self> {
        let mut out: Option<T> = None;
        let slot: &mut dyn Any = &mut out;
        if let Some(m) = slot.downcast_mut::<Option<Message>>() {
            *m = Some(self);
            return out.ok_or_else(|| unreachable!("just filled"));
        }
        macro_rules! give {
            (Unit0, $t:ty) => {
                if let Some(s) = slot.downcast_mut::<Option<$t>>() {
                    return match self.0 {
                        Repr::Unit => {
                            *s = Some(());
                            Ok(out.expect("just filled"))
                        }
                        other => Err(Self(other)),
                    };
                }
            };
            ($variant:ident, $t:ty) => {
                if let Some(s) = slot.downcast_mut::<Option<$t>>() {
                    return match self.0 {
                        Repr::$variant(v) => {
                            *s = Some(v);
                            Ok(out.expect("just filled"))
                        }
                        other => Err(Self(other)),
                    };
                }
            };
        }
        in_place!(give);
        match self.0 {
            Repr::Other(v) if v.value().is::<T>() => Ok(*v
                .into_value()
                .downcast::<T>()
                .unwrap_or_else(|_| unreachable!("the type was looked at one line above"))),
            other => Err(Self(other)),
        }
    }

    /// Text of a text or UTF-8 bytes message.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Str(s) => Some(s),
            Repr::Text(s) => Some(s),
            Repr::Bytes(b) => std::str::from_utf8(b).ok(),
            _ => None,
        }
    }

    /// Bytes of a bytes or text message.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Str(s) => Some(s.as_bytes()),
            Repr::Text(s) => Some(s.as_bytes()),
            Repr::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The name of the value's type.
    pub fn type_name(&self) -> &'static str {
        match &self.0 {
            Repr::Unit => "()",
            Repr::Bool(_) => "bool",
            Repr::I32(_) => "i32",
            Repr::U32(_) => "u32",
            Repr::I64(_) => "i64",
            Repr::U64(_) => "u64",
            Repr::Usize(_) => "usize",
            Repr::F64(_) => "f64",
            Repr::Str(_) => "&str",
            Repr::Text(_) => type_name::<String>(),
            Repr::Bytes(_) => type_name::<Vec<u8>>(),
            Repr::Ipc(_) => type_name::<Ipc>(),
            Repr::Other(v) => v.type_name(),
        }
    }

    fn value(&self) -> &dyn Any {
        match &self.0 {
            Repr::Unit => &(),
            Repr::Bool(v) => v,
            Repr::I32(v) => v,
            Repr::U32(v) => v,
            Repr::I64(v) => v,
            Repr::U64(v) => v,
            Repr::Usize(v) => v,
            Repr::F64(v) => v,
            Repr::Str(v) => v,
            Repr::Text(v) => v,
            Repr::Bytes(v) => v,
            Repr::Ipc(v) => v,
            Repr::Other(v) => v.value(),
        }
    }
}

/// The text form: what an echoer prints. Bytes that are not UTF-8 are shown with replacement characters; a value
/// without a text form as its type in angle brackets.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Unit => f.write_str("()"),
            Repr::Bool(v) => v.fmt(f),
            Repr::I32(v) => v.fmt(f),
            Repr::U32(v) => v.fmt(f),
            Repr::I64(v) => v.fmt(f),
            Repr::U64(v) => v.fmt(f),
            Repr::Usize(v) => v.fmt(f),
            Repr::F64(v) => v.fmt(f),
            Repr::Str(v) => v.fmt(f),
            Repr::Text(v) => v.fmt(f),
            Repr::Bytes(v) => String::from_utf8_lossy(v).fmt(f),
            Repr::Ipc(v) => v.fmt(f),
            Repr::Other(v) => v.text(f),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Str(v) => fmt::Debug::fmt(v, f),
            Repr::Text(v) => fmt::Debug::fmt(v, f),
            Repr::Bytes(v) => write!(f, "b\"{}\"", v.escape_ascii()),
            _ => fmt::Display::fmt(self, f),
        }
    }
}

impl From<&'static str> for Message {
    fn from(v: &'static str) -> Self {
        Self(Repr::Str(v))
    }
}

impl From<String> for Message {
    fn from(v: String) -> Self {
        Self(Repr::Text(v))
    }
}

impl From<Vec<u8>> for Message {
    fn from(v: Vec<u8>) -> Self {
        Self(Repr::Bytes(v))
    }
}

impl From<Ipc> for Message {
    fn from(v: Ipc) -> Self {
        Self(Repr::Ipc(v))
    }
}

trait Value: Send {
    fn value(&self) -> &dyn Any;
    fn into_value(self: Box<Self>) -> Box<dyn Any + Send>;
    fn type_name(&self) -> &'static str;
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

struct Opaque<T>(T);
struct Shown<T>(T);

impl<T: Any + Send> Value for Opaque<T> {
    fn value(&self) -> &dyn Any {
        &self.0
    }
    fn into_value(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.0)
    }
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", type_name::<T>())
    }
}

impl<T: Any + Send + fmt::Display> Value for Shown<T> {
    fn value(&self) -> &dyn Any {
        &self.0
    }
    fn into_value(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.0)
    }
    fn type_name(&self) -> &'static str {
        type_name::<T>()
    }
    fn text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_in_place<T: Any>() -> bool {
    macro_rules! test {
        ($variant:ident, $t:ty) => {
            if TypeId::of::<T>() == TypeId::of::<$t>() {
                return true;
            }
        };
    }
    in_place!(test);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_in_place_type_comes_back_as_itself_and_as_nothing_else() {
        assert!(Message::new(()).downcast::<()>().is_ok());
        assert!(Message::new(true).downcast::<bool>().unwrap());
        assert_eq!(Message::new(-3_i32).downcast::<i32>().unwrap(), -3);
        assert_eq!(Message::new(7_usize).downcast::<usize>().unwrap(), 7);
        assert_eq!(Message::new("x").downcast::<&'static str>().unwrap(), "x");
        assert_eq!(Message::new(vec![1_u8]).downcast::<Vec<u8>>().unwrap(), [1]);
        assert!(Message::new(1_u32).downcast::<u64>().is_err());
        assert!(Message::new(1_u64).downcast::<()>().is_err());
    }

    #[test]
    fn other_types_survive_the_trip() {
        #[derive(Debug, PartialEq)]
        struct Own(u8);
        let m = Message::new(Own(3));
        assert_eq!(m.downcast_ref::<Own>(), Some(&Own(3)));
        assert!(m.to_string().contains("Own"));
        let m = m.downcast::<String>().unwrap_err();
        assert_eq!(m.downcast::<Own>().unwrap(), Own(3));
    }

    #[test]
    fn wrapping_a_message_does_not_nest() {
        let m = Message::new(Message::new(5_i64));
        assert!(m.is::<i64>());
        assert_eq!(m.downcast::<Message>().unwrap().downcast::<i64>().unwrap(), 5);
    }

    #[test]
    fn a_shown_value_has_its_text() {
        assert_eq!(Message::shown(std::net::Ipv4Addr::LOCALHOST).to_string(), "127.0.0.1");
    }

    #[test]
    fn size_stays_at_four_words() {
        assert_eq!(size_of::<Message>(), 32);
    }
}
