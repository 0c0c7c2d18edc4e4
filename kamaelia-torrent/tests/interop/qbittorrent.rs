//! qBittorrent without its window, through its web API.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bench::{Bench, Failure, Result, free_port, own_address, text};
use crate::client::{Client, Role, State};
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::web::{Web, count};

/// A running qBittorrent.
pub(crate) struct Qbittorrent {
    process: Process,
    web: Web,
}

impl Qbittorrent {
    pub(crate) fn start(bench: &Bench) -> Result<Qbittorrent> {
        let ip = own_address();
        let (addr, control) = (free_port(ip)?, free_port(ip)?);
        let home = bench.folder("qbittorrent")?;
        let config = home.join("qBittorrent/config");
        fs::create_dir_all(&config)?;
        // It rewrites the file when it ends, so this has to be there before its first start.
        let settings = SETTINGS
            .replace("{ip}", &ip.to_string())
            .replace("{port}", &addr.port().to_string())
            .replace("{control}", &control.port().to_string());
        fs::write(config.join("qBittorrent.conf"), settings)?;
        let mut command = Command::new("qbittorrent-nox");
        command
            .arg(format!("--profile={}", text(&home)?))
            .arg(format!("--webui-port={}", control.port()))
            .env("HOME", &home)
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&home);
        let mut process = Process::start("qbittorrent", &bench.folder("logs")?, &mut command)?;
        bench.deadline.wait_listening("qbittorrent-nox", control).and_then(|()| process.check_running())?;
        Ok(Qbittorrent { process, web: Web::new(format!("http://{control}/api/v2")) })
    }

    /// What it says about its only torrent; nothing while it has not got so far.
    fn info(&self) -> Result<Option<Value>> {
        let list = self.web.get("/torrents/info")?.json("torrents/info")?;
        Ok(list.get(0).cloned())
    }
}

impl Client for Qbittorrent {
    fn add(&mut self, torrent: &Torrent, _: &Payload, dir: &Path, _: Role) -> Result {
        let mut form = Vec::new();
        for (name, value) in [("savepath", text(dir)?), ("autoTMM", "false"), ("contentLayout", "Original")] {
            let field =
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            form.extend_from_slice(field.as_bytes());
        }
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"torrents\"; filename=\"t.torrent\"\r\n\
             Content-Type: application/x-bittorrent\r\n\r\n"
        );
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(&torrent.bytes);
        form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let answer = self.web.post("/torrents/add", &[("Content-Type", &kind)], &form)?.ok("torrents/add")?;
        if answer.trim() != "Ok." {
            return Err(Failure::new(format!("qbittorrent: torrents/add: {answer}")));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<State> {
        let Some(info) = self.info()? else {
            return Ok(State { complete: false, uploaded: 0, peers: None, words: "not there yet".into() });
        };
        let state = info["state"].as_str().unwrap_or_default();
        let serving = matches!(state, "uploading" | "stalledUP" | "forcedUP" | "queuedUP");
        // While it checks the last pieces it counts whole blocks, and less than nothing may be left.
        let left = info["amount_left"].as_i64();
        let left = left.ok_or_else(|| Failure::new(format!("no count \"amount_left\" in {info}")))?;
        Ok(State {
            complete: left == 0 && count(&info, "size")? > 0 && serving,
            uploaded: count(&info, "uploaded")?,
            peers: count(&info, "num_leechs").ok(),
            words: format!("{state}, {} of {} bytes left", info["amount_left"], info["size"]),
        })
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

const BOUNDARY: &str = "----------------interop-boundary";

/// Nothing goes further than loopback (it would fetch a list of countries), TCP without encryption, no dialogue, states
/// shown at once.
const SETTINGS: &str = r"[LegalNotice]
Accepted=true
[BitTorrent]
Session\Port={port}
Session\Interface=lo
Session\InterfaceName=lo
Session\InterfaceAddress={ip}
Session\DHTEnabled=false
Session\LSDEnabled=false
Session\PeXEnabled=false
Session\MultiConnectionsPerIp=true
Session\Encryption=2
Session\BTProtocol=TCP
Session\QueueingSystemEnabled=false
Session\RefreshInterval=100
Session\TempPathEnabled=false
Session\Preallocation=false
Session\IgnoreLimitsOnLAN=false
Session\SaveResumeDataInterval=1
[Network]
PortForwardingEnabled=false
[Core]
AutoDeleteAddedTorrentFile=Never
[Preferences]
WebUI\Enabled=true
WebUI\Address={ip}
WebUI\Port={control}
WebUI\LocalHostAuth=false
WebUI\CSRFProtection=false
WebUI\HostHeaderValidation=false
WebUI\UseUPnP=false
Connection\ResolvePeerCountries=false
";
