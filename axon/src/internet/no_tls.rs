//! In place of TLS where the feature `tls` is off: nothing that could be made.

use std::io;

use super::Socket;
use crate::message::Message;

pub(super) enum TlsLayer {}

impl TlsLayer {
    pub(super) fn start(_: Message, _: Option<&str>) -> Result<Self, String> {
        Err("TLS was asked for, and this program is built without it (feature `tls`)".into())
    }
    pub(super) fn is_after_queued(&self) -> bool {
        match *self {}
    }
    pub(super) fn is_handshaking(&self) -> bool {
        match *self {}
    }
    pub(super) fn is_ready_now(&mut self) -> bool {
        match *self {}
    }
    pub(super) fn wants_write(&self) -> bool {
        match *self {}
    }
    pub(super) fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }
    pub(super) fn flush(&mut self, _: &Socket) -> io::Result<()> {
        match *self {}
    }
    pub(super) fn finish(&mut self) {
        match *self {}
    }
    pub(super) fn read(&mut self, _: &Socket, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}
