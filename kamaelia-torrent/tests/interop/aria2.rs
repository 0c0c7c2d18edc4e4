//! aria2, through JSON-RPC.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bench::{Bench, Failure, Result, free_port, own_address, text};
use crate::client::{Client, Role, State};
use crate::payload::{Payload, Torrent};
use crate::process::Process;
use crate::web::{Web, base64, count};

/// A running aria2.
pub(crate) struct Aria2 {
    process: Process,
    web: Web,
    /// aria2's name of the download.
    gid: Option<String>,
}

impl Aria2 {
    pub(crate) fn start(bench: &Bench) -> Result<Aria2> {
        let addr = free_port(own_address())?;
        let control = free_port([127, 0, 0, 1].into())?;
        let mut command = Command::new("aria2c");
        command
            .args(["--no-conf=true", "--enable-rpc=true", "--rpc-listen-all=false", "--quiet=true"])
            .arg(format!("--rpc-listen-port={}", control.port()))
            .arg("--disable-ipv6=true")
            .arg(format!("--interface={}", addr.ip()))
            .arg(format!("--listen-port={}", addr.port()))
            // Nothing goes further than loopback.
            .args(["--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"])
            .arg("--enable-peer-exchange=false")
            // It cannot be told a peer, so it asks the tracker often; it serves for ever.
            .args(["--bt-tracker-interval=2", "--seed-ratio=0.0", "--bt-max-peers=0"])
            .args(["--file-allocation=none", "--allow-overwrite=true"])
            .current_dir(bench.folder("aria2")?);
        let mut process = Process::start("aria2", &bench.folder("logs")?, &mut command)?;
        bench.deadline.wait_listening("aria2", control).and_then(|()| process.check_running())?;
        Ok(Aria2 { process, web: Web::new(format!("http://{control}")), gid: None })
    }

    fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        let call =
            json!({"jsonrpc": "2.0", "id": "1", "method": format!("aria2.{method}"), "params": parameters});
        let answer = self.web.post("/jsonrpc", &[], call.to_string().as_bytes())?.json(method)?;
        Ok(answer["result"].clone())
    }
}

impl Client for Aria2 {
    fn add(&mut self, torrent: &Torrent, _: &Payload, dir: &Path, _: Role) -> Result {
        // Both to serve and to download it looks at what is there first.
        let options = json!({"dir": text(dir)?, "check-integrity": "true"});
        let gid = self.call("addTorrent", json!([base64(&torrent.bytes), [], options]))?;
        self.gid = Some(gid.as_str().ok_or_else(|| Failure::new(format!("addTorrent: {gid}")))?.to_owned());
        Ok(())
    }

    fn state(&mut self) -> Result<State> {
        let status = self.call("tellStatus", json!([self.gid]))?;
        if status["status"] == "error" {
            return Err(Failure::new(format!("aria2: {status}")));
        }
        let checking = !status["verifiedLength"].is_null() || status["verifyIntegrityPending"] == "true";
        let (total, done) = (count(&status, "totalLength")?, count(&status, "completedLength")?);
        Ok(State {
            complete: total > 0 && done == total && !checking && status["seeder"] == "true",
            uploaded: count(&status, "uploadLength")?,
            peers: count(&status, "connections").ok(),
            words: format!(
                "{done} of {total} bytes, {} connections, {}",
                status["connections"], status["status"]
            ),
        })
    }

    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
