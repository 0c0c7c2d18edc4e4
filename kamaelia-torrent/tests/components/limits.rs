//! Limits by message.

use std::num::NonZeroU64;

use axon::prelude::*;
use kamaelia_torrent::components::{CreateNewTorrent, SetConnectionLimits, SetLimits, TorrentEvent};
use kamaelia_torrent::engine::{ConnectionLimits, Limits, TorrentId};

use crate::client::{LONG, answer, stop, torrent, with_client};
use crate::service::{World, add, created, heard, pass_on};

fn limits(down: u64, up: u64) -> Limits {
    Limits { down: NonZeroU64::new(down), up: NonZeroU64::new(up) }
}

#[test]
fn limits_of_a_torrent_and_of_all_are_set_and_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let file = torrent(folder.path(), "x");
    with_client(folder.path(), LONG, async move |cx| {
        let mut create = CreateNewTorrent::new(file);
        create.up_limit = NonZeroU64::new(9);
        cx.outbox.send(Message::new(create)).unwrap();
        let id = answer(&cx).await.torrent_id();
        for (torrent_id, limits) in [(id, limits(5, 0)), (None, limits(0, 7)), (None, Limits::NONE)] {
            cx.outbox.send(Message::new(SetLimits { torrent_id, limits })).unwrap();
            let event = answer(&cx).await;
            assert!(
                matches!(&event, TorrentEvent::LimitsChanged { torrent_id: t, limits: l }
                    if (*t, *l) == (torrent_id, limits)),
                "{event:?}"
            );
        }
        let most = ConnectionLimits {
            max_connections: 5,
            max_peers_per_torrent: 4,
            upload_slots: Some(3),
            upload_slots_per_torrent: None,
        };
        cx.outbox.send(Message::new(SetConnectionLimits { limits: most })).unwrap();
        let event = answer(&cx).await;
        assert!(matches!(event, TorrentEvent::ConnectionLimitsChanged { limits } if limits == most));
        stop(&cx, Ipc::Shutdown).await;
    });
}

#[test]
fn limits_of_a_torrent_that_is_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    with_client(folder.path(), LONG, async move |cx| {
        let torrent_id = Some(TorrentId(9));
        cx.outbox.send(Message::new(SetLimits { torrent_id, limits: Limits::NONE })).unwrap();
        assert_eq!(answer(&cx).await.to_string(), "Torrent 9 SetLimits: there is no torrent 9");
        stop(&cx, Ipc::Shutdown).await;
    });
}

#[test]
fn a_patron_limits_its_own_torrents_only_and_all_hear_of_limits_for_all() {
    let (w, a) = World::new();
    let b = w.patron();
    w.tell(&b, add(&b));
    w.tell(&a, pass_on(&a, Message::from("1")));
    w.say(created(1));
    w.client().inbox.drain().for_each(drop);
    heard(&a);
    let request = |torrent_id| Message::new(SetLimits { torrent_id, limits: limits(5, 0) });
    w.tell(&b, pass_on(&b, request(Some(TorrentId(1)))));
    assert_eq!(w.client().inbox.drain().count(), 0);
    assert_eq!(heard(&b), ["Torrent 1 SetLimits: this patron has no torrent of this number"]);
    w.tell(&a, pass_on(&a, request(Some(TorrentId(1)))));
    w.tell(&b, pass_on(&b, request(None)));
    assert_eq!(w.client().inbox.drain().count(), 2);
    w.say(TorrentEvent::LimitsChanged { torrent_id: Some(TorrentId(1)), limits: limits(5, 0) });
    w.say(TorrentEvent::LimitsChanged { torrent_id: None, limits: limits(0, 6) });
    let all = "Limits of all torrents: no limit down, 6 B/s up";
    assert_eq!(heard(&a), ["Limits of torrent 1: 5 B/s down, no limit up", all]);
    assert_eq!(heard(&b), [all]);
}
