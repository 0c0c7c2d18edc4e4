//! The same leech as in `node`, behind the components that an application uses: a patron, the service and the client.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axon::Message;
use axon::prelude::*;
use kamaelia_torrent::components::{
    CreateNewTorrent, News, NewsKinds, TorrentClient, TorrentEvent, TorrentPatron,
};
use kamaelia_torrent::engine::{CheckPolicy, Settings};

use super::Outcome;
use super::node::say;
use super::options::Options;

ports! {
    /// Boxes of a [`User`].
    pub struct UserPorts {
        in  { /// What the patron tells.
              inbox: TorrentEvent,
              control: Ipc }
        out { /// Requests to the patron.
              outbox: Message,
              signal: Ipc }
    }
}

/// Asks for one torrent and says what becomes of it.
struct User {
    request: CreateNewTorrent,
    begun: Instant,
}

impl Component for User {
    type Ports = UserPorts;

    async fn main(self, cx: Cx<UserPorts>) {
        if cx.outbox.send(Message::new(self.request)).is_err() {
            return;
        }
        loop {
            while let Some(event) = cx.inbox.try_recv() {
                match event {
                    TorrentEvent::NewTorrentCreated { listen, .. } => {
                        let address = listen.map_or(String::new(), |addr| addr.to_string());
                        say(&format!("\"event\":\"listening\",\"address\":\"{address}\""));
                    }
                    TorrentEvent::News { news: News::Started, .. } => say("\"event\":\"started\""),
                    TorrentEvent::News { news: News::Completed, .. } => {
                        let seconds = self.begun.elapsed().as_secs_f64();
                        say(&format!("\"event\":\"done\",\"seconds\":{seconds:.4}"));
                        let _ = cx.signal.send(Ipc::Shutdown);
                    }
                    TorrentEvent::TorrentStartFail(fail) => {
                        say(&format!("\"event\":\"failed\",\"reason\":{:?}", fail.reason));
                        let _ = cx.signal.send(Ipc::Shutdown);
                    }
                    _ => {}
                }
            }
            if cx.control.try_recv().is_some_and(|m| m.is_producer_finished()) {
                return;
            }
            cx.pause().await;
        }
    }
}

/// Downloads until everything is there.
pub(crate) fn leech(options: &Options) -> Outcome {
    let peers = options.get("max-peers")?.unwrap_or(100);
    let settings = Settings {
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        max_connections: peers * 2,
        max_peers_per_torrent: peers,
        ..Settings::default()
    };
    let torrent: Arc<[u8]> = std::fs::read(options.word(0, "a .torrent file")?)?.into();
    let request = CreateNewTorrent {
        dir: Some(PathBuf::from(options.word(1, "a folder")?)),
        check: CheckPolicy::Full,
        news: NewsKinds::COMPLETED | NewsKinds::PAUSES,
        ..CreateNewTorrent::new(torrent)
    };
    let user = User { request, begun: Instant::now() }.create();
    let make = move || TorrentClient::with_settings(settings.clone()).create().any();
    let patron = TorrentPatron::with_client(make).create();
    axon::link(&user.outbox, &patron.inbox)?;
    axon::link(&user.signal, &patron.control)?;
    axon::link(&patron.outbox, &user.inbox)?;
    axon::link(&patron.signal, &user.control)?;
    let scheduler = Scheduler::new();
    scheduler.activate(patron.any());
    scheduler.activate(user.any());
    Ok(scheduler.run()?)
}
