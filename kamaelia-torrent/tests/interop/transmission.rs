//! Transmission's daemon, through its RPC.
//!
//! It never dials an address of 127.0.0.0/8, so whoever is on the other side has to dial it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bench::{Bench, Failure, Result, free_port, own_address, text};
use crate::client::{Client, Role, State};
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::web::{Web, base64, count};

/// A running daemon.
pub(crate) struct Transmission {
    process: Process,
    web: Web,
    /// What the daemon wants to see in each request, against forged ones.
    session: String,
}

impl Transmission {
    pub(crate) fn start(bench: &Bench) -> Result<Transmission> {
        let ip = own_address();
        let (addr, control) = (free_port(ip)?, free_port(ip)?);
        let folder = bench.folder("transmission")?;
        let settings = json!({
            "bind-address-ipv4": ip.to_string(), "bind-address-ipv6": "::1",
            "peer-port": addr.port(), "peer-port-random-on-start": false,
            "rpc-enabled": true, "rpc-bind-address": ip.to_string(), "rpc-port": control.port(),
            "rpc-whitelist-enabled": false, "rpc-host-whitelist-enabled": false,
            "rpc-authentication-required": false,
            // Nothing goes further than loopback.
            "port-forwarding-enabled": false, "dht-enabled": false, "lpd-enabled": false,
            "pex-enabled": false, "utp-enabled": false, "encryption": 0,
            "incomplete-dir-enabled": false, "rename-partial-files": false, "preallocation": 0,
            "download-queue-enabled": false, "seed-queue-enabled": false, "queue-stalled-enabled": false,
            "ratio-limit-enabled": false, "idle-seeding-limit-enabled": false, "start-added-torrents": true,
        });
        fs::write(folder.join("settings.json"), settings.to_string())?;
        let mut command = Command::new("transmission-daemon");
        command.args(["-f", "-g", text(&folder)?]).current_dir(&folder);
        let mut process = Process::start("transmission", &bench.folder("logs")?, &mut command)?;
        bench
            .deadline
            .wait_listening("transmission-daemon", control)
            .and_then(|()| process.check_running())?;
        let web = Web::new(format!("http://{control}"));
        Ok(Transmission { process, web, session: String::new() })
    }

    fn call(&mut self, method: &str, arguments: Value) -> Result<Value> {
        let body = json!({"method": method, "arguments": arguments}).to_string();
        loop {
            let headers = [(SESSION, self.session.as_str())];
            let answer = self.web.post("/transmission/rpc", &headers, body.as_bytes())?;
            if answer.status == 409 && self.session.is_empty() {
                self.session = answer
                    .header(SESSION)
                    .ok_or_else(|| Failure::new("transmission: no session id"))?
                    .to_owned();
                continue;
            }
            let answer = answer.json(method)?;
            if answer["result"] != "success" {
                return Err(Failure::new(format!("transmission: {method}: {answer}")));
            }
            return Ok(answer["arguments"].clone());
        }
    }
}

impl Client for Transmission {
    fn add(&mut self, torrent: &Torrent, _: &Payload, dir: &Path, _: Role) -> Result {
        // It looks at what is there first, both to serve and to download.
        self.call("torrent-add", json!({"metainfo": base64(&torrent.bytes), "download-dir": text(dir)?}))?;
        Ok(())
    }

    fn state(&mut self) -> Result<State> {
        let fields =
            ["leftUntilDone", "totalSize", "status", "uploadedEver", "errorString", "peersConnected"];
        let answer = self.call("torrent-get", json!({"fields": fields}))?;
        let torrent = &answer["torrents"][0];
        let (left, total) = (count(torrent, "leftUntilDone")?, count(torrent, "totalSize")?);
        // 5 and 6: waiting to seed, seeding.
        let serving = matches!(torrent["status"].as_u64(), Some(5 | 6));
        Ok(State {
            complete: left == 0 && total > 0 && serving,
            uploaded: count(torrent, "uploadedEver")?,
            peers: count(torrent, "peersConnected").ok(),
            words: torrent.to_string(),
        })
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

const SESSION: &str = "x-transmission-session-id";
