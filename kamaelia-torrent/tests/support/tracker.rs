//! A tracker for tests that want to see what it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

/// A tracker that names these peers to everybody and reports each request line.
pub fn tracker(peers: &[SocketAddr]) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let (out, requests) = mpsc::channel();
    let mut body = format!("d8:intervali1800e5:peers{}:", 6 * peers.len()).into_bytes();
    for peer in peers {
        let SocketAddr::V4(peer) = peer else { panic!("not IPv4: {peer}") };
        body.extend(peer.ip().octets());
        body.extend(peer.port().to_be_bytes());
    }
    body.push(b'e');
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = request_line(&stream) else { continue };
            answer(&mut stream, &body);
            if out.send(request).is_err() {
                return;
            }
        }
    });
    (url, requests)
}

/// The first line of a request; the others are read too.
pub fn request_line(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let request = lines.next();
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    request
}

/// Answers a request; whoever asked may be gone.
pub fn answer(stream: &mut TcpStream, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}
