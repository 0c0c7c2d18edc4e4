//! A tracker that knows nobody: it answers every announce alike, and counts them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::Outcome;
use super::options::Options;

/// Serves until the standard input ends, and says each second how many announces there were.
pub(crate) fn run(options: &Options) -> Outcome {
    let interval: u64 = options.get("interval")?.unwrap_or(60);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{{\"event\":\"listening\",\"address\":\"{}\"}}", listener.local_addr()?);
    let body = format!("d8:intervali{interval}e5:peers0:e");
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let announces = Arc::new(AtomicU64::new(0));
    let counted = announces.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who says nothing holds up the others for a second at most.
            if serve(stream, answer.as_bytes()).is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let ended = thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
    while !ended.is_finished() {
        println!("{{\"event\":\"announces\",\"count\":{}}}", announces.load(Ordering::Relaxed));
        thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn serve(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut buf, mut len) = ([0; 4096], 0);
    while !buf[..len].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buf[len..])? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => len += n,
        }
    }
    stream.write_all(answer)
}
