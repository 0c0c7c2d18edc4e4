//! Peers that break the rules beside a good seed: only their own connections end.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::run::*;
use crate::support;
use crate::support::node::{LIMIT, Peer, Script, scripted_seed};

/// What a peer does, given the info hash.
type Rudeness = fn(&mut Peer, [u8; 20]);

/// Does something to whoever calls, then tells when the caller has hung up.
fn rude(name: &'static str, cut: &mpsc::Sender<&'static str>, does: Rudeness, hash: [u8; 20]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let cut = cut.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream: TcpStream = stream.unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut peer = Peer { stream };
            does(&mut peer, hash);
            if peer.is_closed() {
                let _ = cut.send(name);
            }
        }
    });
    addr
}

fn garbage(peer: &mut Peer, _: [u8; 20]) {
    let _ = peer.stream.write_all(&support::noise(5000, 3));
}

fn oversized(peer: &mut Peer, hash: [u8; 20]) {
    peer.handshake(hash, *b"-XX0001-oversized000");
    let _ = peer.stream.write_all(&[0x7f, 0xff, 0xff, 0xff, 7, 0, 0, 0]);
}

fn wrong_bitfield(peer: &mut Peer, hash: [u8; 20]) {
    peer.handshake(hash, *b"-XX0001-wrongbitfiel");
    peer.send(5, &[0xff; 1000]);
}

fn other_torrent(peer: &mut Peer, _: [u8; 20]) {
    peer.handshake([7; 20], *b"-XX0001-othertorrent");
}

/// Has the first byte of a handshake, and then no more to say.
fn hangs_up(peer: &mut Peer, _: [u8; 20]) {
    let _ = peer.stream.write_all(b"\x13");
    let _ = peer.stream.shutdown(std::net::Shutdown::Write);
    let _ = peer.stream.read(&mut [0; 68]);
}

#[test]
fn only_the_hostile_connections_end() {
    let torrent = support::single("f", 16 << 20, 65_536, 4);
    let hash = torrent.metainfo.info_hash().0;
    let place = Place::new();
    let (cut, cuts) = mpsc::channel();
    let kinds: [(&'static str, Rudeness); 5] = [
        ("garbage", garbage),
        ("oversized", oversized),
        ("wrong bitfield", wrong_bitfield),
        ("other torrent", other_torrent),
        ("hangs up", hangs_up),
    ];
    let rude_peers = kinds.map(|(name, does)| (name, rude(name, &cut, does, hash)));
    let liar: Script = Arc::new(|_, _, len| Some(vec![0xaa; len as usize]));
    let (liar, _) = scripted_seed(hash, 256, liar);
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut args = place.get(&file, "d", &["-v", "--peer", &liar.to_string()]);
    for (_, addr) in &rude_peers {
        args.extend(["--peer".to_owned(), addr.to_string()]);
    }
    let mut get = Running::start(args);
    let addr = get.address();
    let mut left: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
    while !left.is_empty() {
        let name = cuts.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("{left:?}: {e}"));
        left.retain(|l| *l != name);
    }
    // All of them have been cut, and it still goes on: now the good one calls.
    let (seed, _) = place.seed(&torrent, &["--peer", &addr.to_string()]);
    let complete = get.event("complete");
    let (status, _, stderr) = get.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    torrent.verify(&place.path("d"));
    // Of the liar, what was asked of it at once and some sixty blocks more, but not everything.
    let downloaded = complete["downloaded"].as_u64().unwrap();
    assert!(downloaded <= (16 << 20) + (8 << 20), "{downloaded}");
    // With -v, each is named with what it did.
    for (name, addr) in rude_peers {
        assert!(stderr.contains(&format!("peer {addr}")), "{name} {addr}: {stderr}");
    }
    seed.signal("INT");
    seed.end_with(0);
}

#[test]
fn a_peer_that_refuses_is_named_while_nobody_else_is_there() {
    let torrent = support::single("f", 100_000, 32_768, 4);
    let place = Place::new();
    let refusing = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let file = place.torrent("f.torrent", &torrent.bytes);
    let mut get = Running::start(place.get(&file, "d", &["--peer", &refusing.to_string()]));
    let waiting = get.event("waiting");
    let reason = waiting["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("{refusing}: Connection refused")), "{reason}");
    get.signal("TERM");
    get.end_with(130);
}
