//! rqbit, through its HTTP API.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use crate::bench::{Bench, Failure, Result, free_port, own_address, text};
use crate::client::{Client, Role, State};
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::web::{Web, count, percent};

/// A running rqbit.
pub(crate) struct Rqbit {
    process: Process,
    web: Web,
    id: u64,
}

impl Rqbit {
    pub(crate) fn start(bench: &Bench) -> Result<Rqbit> {
        // Its outgoing connections cannot be bound to an address of its own.
        let addr = free_port(Ipv4Addr::LOCALHOST)?;
        let control = free_port(own_address())?;
        let home = bench.folder("rqbit")?;
        let port = addr.port().to_string();
        let mut command = Command::new("rqbit");
        command
            .args(["--http-api-listen-addr", &control.to_string(), "-v", "info"])
            // On loopback it announces no port unless it is told to.
            .args(["--listen-ip", "127.0.0.1", "--listen-port", &port, "--announce-port", &port])
            // Nothing goes further than loopback.
            .args(["--ipv4-only", "--disable-upnp-port-forward", "--disable-lsd", "--disable-dht"])
            .arg("--disable-dht-persistence")
            .args(["server", "start", "--disable-persistence", text(&home)?])
            .env("HOME", &home)
            .current_dir(&home);
        let mut process = Process::start("rqbit", &bench.folder("logs")?, &mut command)?;
        bench.deadline.wait_listening("rqbit", control).and_then(|()| process.check_running())?;
        Ok(Rqbit { process, web: Web::new(format!("http://{control}")), id: 0 })
    }
}

impl Client for Rqbit {
    fn add(&mut self, torrent: &Torrent, payload: &Payload, dir: &Path, _: Role) -> Result {
        // It uses the folder as it is, without the name in the torrent. Existing files are checked first.
        let folder = if payload.single { dir.to_owned() } else { dir.join(&payload.name) };
        let path = format!("/torrents?overwrite=true&output_folder={}", percent(text(&folder)?.as_bytes()));
        let answer = self.web.post(&path, &[], &torrent.bytes)?.json("POST /torrents")?;
        self.id = count(&answer, "id")?;
        Ok(())
    }

    fn state(&mut self) -> Result<State> {
        let stats = self.web.get(&format!("/torrents/{}/stats/v1", self.id))?.json("stats")?;
        if stats["state"] == "error" {
            return Err(Failure::new(format!("rqbit: {stats}")));
        }
        Ok(State {
            complete: stats["finished"] == true && stats["state"] == "live",
            uploaded: count(&stats, "uploaded_bytes")?,
            peers: None,
            words: format!(
                "{}, {} of {} bytes",
                stats["state"], stats["progress_bytes"], stats["total_bytes"]
            ),
        })
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
