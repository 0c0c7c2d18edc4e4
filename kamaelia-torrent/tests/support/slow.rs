//! A seed that sends at a given pace and minds what is taken back, as real clients do.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// What one connection was asked for; `None` when it is closed.
type Queue = Arc<(Mutex<Option<VecDeque<[u32; 3]>>>, Condvar)>;

/// Serves `data` in pieces of `piece_len` bytes to any number of connections, so many blocks a second each. `most` ends
/// a connection after so many blocks.
pub fn slow_seed(
    info_hash: [u8; 20],
    data: Arc<Vec<u8>>,
    piece_len: usize,
    blocks_per_second: u32,
    most: usize,
) -> SocketAddr {
    paced_seed(info_hash, data, piece_len, &Pace::new(blocks_per_second), most)
}

/// How fast a seed is, which can be changed, and what it was asked for.
pub struct Pace {
    /// Blocks a second.
    rate: AtomicU32,
    /// The piece of each block in the order in which they were sent.
    served: Mutex<Vec<u32>>,
}

impl Pace {
    pub fn new(blocks_per_second: u32) -> Arc<Pace> {
        Arc::new(Pace { rate: AtomicU32::new(blocks_per_second), served: Mutex::default() })
    }

    pub fn change(&self, blocks_per_second: u32) {
        self.rate.store(blocks_per_second, Ordering::SeqCst);
    }

    /// The piece of each block in the order in which they were sent.
    pub fn served(&self) -> Vec<u32> {
        self.served.lock().unwrap().clone()
    }
}

/// The same at a pace that can be changed and looked at.
pub fn paced_seed(
    info_hash: [u8; 20],
    data: Arc<Vec<u8>>,
    piece_len: usize,
    pace: &Arc<Pace>,
    most: usize,
) -> SocketAddr {
    let pace = Arc::clone(pace);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, data) = (stream.unwrap(), Arc::clone(&data));
            let pace = Arc::clone(&pace);
            thread::spawn(move || serve(stream, info_hash, &data, piece_len, &pace, most));
        }
    });
    addr
}

/// Ends when either side closes the connection.
fn serve(
    mut stream: TcpStream,
    info_hash: [u8; 20],
    data: &[u8],
    piece_len: usize,
    pace: &Pace,
    most: usize,
) -> Option<()> {
    let mut hello = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0".to_vec();
    hello.extend(info_hash);
    hello.extend(b"-XX0000-slowseed0000");
    stream.write_all(&hello).ok()?;
    stream.read_exact(&mut [0; 68]).ok()?;
    let pieces = data.len().div_ceil(piece_len);
    let mut bits = vec![0_u8; pieces.div_ceil(8)];
    (0..pieces).for_each(|piece| bits[piece / 8] |= 0x80 >> (piece % 8));
    send(&mut stream, 5, &bits)?;
    send(&mut stream, 1, &[])?;
    let queue: Queue = Arc::new((Mutex::new(Some(VecDeque::new())), Condvar::new()));
    let (ours, mut reading) = (Arc::clone(&queue), stream.try_clone().ok()?);
    thread::spawn(move || {
        while take(&mut reading, &ours).is_some() {}
        *ours.0.lock().unwrap() = None;
        ours.1.notify_all();
    });
    for _ in 0..most {
        let mut asked = queue.0.lock().unwrap();
        let [piece, begin, len] = loop {
            match asked.as_mut()?.pop_front() {
                Some(block) => break block,
                None => asked = queue.1.wait(asked).unwrap(),
            }
        };
        drop(asked);
        thread::sleep(Duration::from_secs(1) / pace.rate.load(Ordering::SeqCst));
        pace.served.lock().unwrap().push(piece);
        let at = piece as usize * piece_len + begin as usize;
        let mut body = [piece.to_be_bytes(), begin.to_be_bytes()].concat();
        body.extend(&data[at..at + len as usize]);
        send(&mut stream, 7, &body)?;
    }
    stream.shutdown(std::net::Shutdown::Both).ok()
}

/// Takes in one message.
fn take(stream: &mut TcpStream, queue: &Queue) -> Option<()> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).ok()?;
    let mut body = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut body).ok()?;
    if let Some(id @ (6 | 8)) = body.first() {
        let block = [1, 5, 9].map(|i| u32::from_be_bytes(body[i..i + 4].try_into().unwrap()));
        let mut asked = queue.0.lock().unwrap();
        let asked = asked.as_mut()?;
        if *id == 6 {
            asked.push_back(block)
        } else {
            asked.retain(|other| *other != block)
        }
        queue.1.notify_all();
    }
    Some(())
}

fn send(stream: &mut TcpStream, id: u8, body: &[u8]) -> Option<()> {
    let mut message = (body.len() as u32 + 1).to_be_bytes().to_vec();
    message.push(id);
    message.extend(body);
    stream.write_all(&message).ok()
}
