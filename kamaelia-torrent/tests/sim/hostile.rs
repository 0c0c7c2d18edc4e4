//! Peers that break the rules: each costs its own connection, and the download beside it completes.

use std::time::Duration;

use kamaelia_torrent::proto::{BlockRequest, PieceIndex, torrent::PeerError, wire::Message};

use crate::{
    scripts::{Leech, Says, Seed, encode},
    world::{NodeConfig, Payload, Script, World, address},
};

/// A leech with one good seed, attacked; answers why the attacker was cut, if it was.
fn attack(script: impl Script + 'static) -> Option<PeerError> {
    let mut w = World::new(Payload::new(4 << 20, 1 << 18), 1);
    let s = w.add(NodeConfig { have: true, bandwidth: 1e6, ..NodeConfig::default() });
    let l = w.add(NodeConfig::default());
    let evil = w.add_script(script);
    w.connect(evil, l);
    w.introduce(l, &[s]);
    w.run(Duration::from_secs(300), |w| w.node(l).completed.is_some());
    let node = w.node(l);
    assert!(node.completed.is_some() && node.data == w.payload.data);
    assert!(w.elapsed() < Duration::from_secs(90), "{:?}", w.elapsed());
    let cut = |id| node.lost.iter().filter(move |(addr, _)| *addr == address(id));
    assert!(cut(s).all(|(_, why)| *why == PeerError::Useless), "{:?}", node.lost);
    cut(evil).map(|(_, why)| why.clone()).find(|why| *why != PeerError::Useless)
}

/// The same against a seed, for ten minutes.
fn attack_seed(script: impl Script + 'static) -> Option<PeerError> {
    let mut w = World::new(Payload::new(4 << 20, 1 << 18), 1);
    let s = w.add(NodeConfig { have: true, ..NodeConfig::default() });
    let evil = w.add_script(script);
    w.connect(evil, s);
    w.run(Duration::from_secs(600), |_| false);
    w.node(s).lost.first().map(|(_, why)| why.clone())
}

fn have(n: u32) -> Message {
    Message::Have(PieceIndex(n))
}

fn block(piece: u32, begin: u32, len: u32) -> BlockRequest {
    BlockRequest { piece: PieceIndex(piece), begin, len }
}

#[test]
fn garbage_is_cut() {
    assert!(matches!(attack(Says::once(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())), Some(PeerError::Wire(_))));
    assert!(matches!(attack(Says::once(vec![0xff; 100_000])), Some(PeerError::Wire(_))));
}

#[test]
fn oversized_messages_are_cut() {
    assert!(matches!(attack(Says::once(vec![0x7f, 0xff, 0xff, 0xff, 7])), Some(PeerError::Wire(_))));
    assert!(matches!(attack(Says::once(vec![0, 0, 0x80, 9, 7])), Some(PeerError::Wire(_))));
}

#[test]
fn bitfields_of_wrong_length_or_with_spare_bits_are_cut() {
    // 16 pieces: two bytes.
    for bits in [vec![], vec![0xff], vec![0xff; 3], vec![0xff; 4000]] {
        assert!(matches!(attack(Says::messages(&[Message::Bitfield(bits)])), Some(PeerError::Wire(_))));
    }
}

#[test]
fn have_all_after_a_bitfield_and_have_none_twice_are_cut() {
    let both = [Message::Bitfield(vec![0; 2]), Message::HaveAll];
    assert_eq!(attack(Says::messages(&both)), Some(PeerError::Late("have_all")));
    let twice = [Message::HaveNone, Message::HaveNone];
    assert_eq!(attack(Says::messages(&twice)), Some(PeerError::Late("have_none")));
}

/// aria2 sends them instead of many `have`.
#[test]
fn late_bitfields_count_like_have() {
    for first in [have(1), Message::Unchoke, Message::HaveAll, Message::Bitfield(vec![0x0f; 2])] {
        let late = [first, Message::Bitfield(vec![0xff; 2]), Message::Bitfield(vec![0; 2])];
        assert_eq!(attack(Says::messages(&late)), None);
    }
}

#[test]
fn a_flood_of_bitfields_without_news_is_cut() {
    let same = vec![Message::Bitfield(vec![0xff; 2]); 10_000];
    assert_eq!(attack(Says::messages(&same)), Some(PeerError::Flood("bitfield")));
}

#[test]
fn messages_of_the_fast_extension_must_be_agreed_on() {
    for message in [
        Message::HaveAll,
        Message::HaveNone,
        Message::Suggest(PieceIndex(0)),
        Message::AllowedFast(PieceIndex(0)),
        Message::Reject(block(0, 0, 16_384)),
    ] {
        let why = attack(Says::messages(&[message]).without_fast());
        assert!(matches!(why, Some(PeerError::NotAgreed(_))), "{why:?}");
    }
}

#[test]
fn pieces_that_do_not_exist_are_cut() {
    for n in [16, u32::MAX] {
        for message in [have(n), Message::Suggest(PieceIndex(n)), Message::AllowedFast(PieceIndex(n))] {
            let why = attack(Says::messages(&[message]));
            assert!(matches!(why, Some(PeerError::NoSuchPiece(_, at, 16)) if at == n), "{why:?}");
        }
    }
}

#[test]
fn impossible_requests_are_cut() {
    for bad in [
        block(16, 0, 16_384),
        block(u32::MAX, 0, 16_384),
        block(0, 1 << 18, 16_384),
        block(0, u32::MAX, 16_384),
        block(0, (1 << 18) - 1, 2),
        block(0, 0, 0),
        block(0, 0, 16_385),
        block(0, 0, u32::MAX),
    ] {
        let messages = [Message::Interested, Message::Request(bad)];
        assert_eq!(attack_seed(Says::messages(&messages)), Some(PeerError::BadRequest(bad)));
    }
}

#[test]
fn floods_are_cut() {
    let flood = |messages: &[Message], times: usize| {
        let mut all = encode(&[Message::HaveNone]);
        all.extend(encode(messages).repeat(times));
        attack_seed(Says::once(all))
    };
    assert_eq!(flood(&[Message::Choke, Message::Unchoke], 1000), Some(PeerError::Flood("choke")));
    let wavering = [Message::Interested, Message::NotInterested];
    assert_eq!(flood(&wavering, 1000), Some(PeerError::Flood("interested")));
    assert_eq!(flood(&[Message::KeepAlive], 1000), Some(PeerError::Flood("keep-alive")));
    assert_eq!(flood(&[have(3)], 5000), Some(PeerError::Flood("have")));
    let request = block(0, 0, 16_384);
    assert_eq!(flood(&[Message::Cancel(request)], 50_000), Some(PeerError::Flood("cancel")));
    assert_eq!(flood(&[Message::Unknown(99, 3)], 5000), Some(PeerError::Flood("odd")));
    assert_eq!(flood(&[Message::Extended(0, vec![])], 5000), Some(PeerError::Flood("odd")));
    // Never interested, so never unchoked: 100,000 rejects, or silence, are not for free.
    let requests = flood(&[Message::Request(request)], 100_000);
    assert!(matches!(requests, Some(PeerError::Flood("request"))), "{requests:?}");
}

#[test]
fn blocks_that_nobody_asked_for_are_cut() {
    let mut bytes = encode(&[Message::HaveAll]);
    for n in 0..200 {
        bytes.extend_from_slice(&kamaelia_torrent::proto::wire::block_header(&block(n % 16, 0, 16_384)));
        bytes.extend_from_slice(&[0; 16_384]);
    }
    assert_eq!(attack(Says::once(bytes)), Some(PeerError::Unsolicited));
}

#[test]
fn a_silent_peer_goes_after_its_time() {
    assert_eq!(attack_seed(Says::once(vec![])), Some(PeerError::Idle));
    let dribble = Says::once(vec![]).every(Duration::from_secs(100), vec![0]);
    assert_eq!(attack_seed(dribble), Some(PeerError::Useless));
}

#[test]
fn one_byte_at_a_time_holds_up_nobody() {
    // Claims everything, unchokes, then begins a block that never ends.
    let mut open = encode(&[Message::HaveAll, Message::Unchoke]);
    open.extend_from_slice(&[0, 0, 0x40, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(attack(Says::once(open).every(Duration::from_secs(1), vec![0])), None);
}

#[test]
fn a_peer_that_rejects_everything_holds_up_nobody() {
    struct Rejects(Seed);
    impl Script for Rejects {
        fn open(&mut self) -> Vec<u8> {
            self.0.open()
        }
        fn receive(&mut self, payload: &Payload, mut data: &[u8]) -> Vec<u8> {
            let decoder = self.0.decoder.get_or_insert_with(|| {
                kamaelia_torrent::proto::wire::Decoder::new(payload.geometry.piece_count())
            });
            let mut out = vec![];
            while let Some(event) = decoder.next(&mut data).unwrap() {
                if let kamaelia_torrent::proto::wire::Event::Message(Message::Request(block)) = event {
                    out.push(Message::Reject(block));
                }
            }
            encode(&out)
        }
    }
    assert_eq!(attack(Rejects(Seed::new(|_| false))), None);
}

/// Downloads beside a peer that spoils; answers bad blocks taken and who was banned.
fn spoil(piece_len: u32, spoil: fn(&BlockRequest) -> bool, seed: u64) -> u32 {
    let mut w = World::new(Payload::new(48 << 20, piece_len), seed);
    let s = w.add(NodeConfig { have: true, bandwidth: 50e6, ..NodeConfig::default() });
    let l = w.add(NodeConfig::default());
    let script = Seed::new(spoil);
    let spoilt = script.spoilt.clone();
    let evil = w.add_script(script);
    w.connect(evil, l);
    w.introduce(l, &[s]);
    w.run(Duration::from_secs(300), |w| w.node(l).completed.is_some());
    let node = w.node(l);
    assert!(node.completed.is_some() && node.data == w.payload.data);
    assert_eq!(node.banned, [address(evil)]);
    assert!(node.lost.iter().all(|(addr, why)| *addr == address(evil) || *why == PeerError::Useless));
    spoilt.get()
}

#[test]
fn who_spoils_pieces_is_banned_within_60_blocks_and_the_good_seed_is_not() {
    // One piece in five, whole pieces or one block of them.
    let whole: Vec<u32> = (0..8).map(|n| spoil(1 << 18, |block| block.piece.0 % 5 == 0, n)).collect();
    let single: Vec<u32> =
        (0..4).map(|n| spoil(1 << 18, |block| block.piece.0 % 5 == 0 && block.begin == 0x8000, n)).collect();
    let large: Vec<u32> =
        (0..4).map(|n| spoil(1 << 20, |block| block.piece.0 % 5 == 0 && block.begin == 0x8000, n)).collect();
    let mut sorted = whole.clone();
    sorted.sort_unstable();
    println!("bad blocks taken: {whole:?} {single:?} {large:?}");
    assert!(sorted[4] <= 60, "{whole:?}");
    assert!(single.iter().chain(&large).all(|n| *n <= 60), "{single:?} {large:?}");
}

#[test]
fn a_peer_that_spoils_everything_is_banned_at_once() {
    assert!(spoil(1 << 18, |_| true, 1) <= 130);
}

#[test]
fn colluders_do_not_starve_the_others_at_a_seed() {
    let mut w = World::new(Payload::new(30 << 20, 1 << 18), 18);
    let s = w.add(NodeConfig {
        have: true,
        bandwidth: 1e6,
        tweak: |cfg| cfg.upload_slots = Some(3),
        ..NodeConfig::default()
    });
    let mut add = |requests| {
        let leech = Leech::new(true, requests);
        let got = leech.got.clone();
        let id = w.add_script(leech);
        w.connect(id, s);
        got
    };
    let greedy: Vec<_> = (0..3).map(|_| add(2000)).collect();
    let honest: Vec<_> = (0..10).map(|_| add(16)).collect();
    w.run(Duration::from_secs(1800), |_| false);
    let most = greedy.iter().map(|got| got.get()).max().unwrap();
    let least = honest.iter().map(|got| got.get()).min().unwrap();
    assert!(least * 4 > most, "honest {least}, greedy {most}");
}
