"""Clients with one torrent each that are driven over HTTP: Transmission, qBittorrent and rqbit."""
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request

from clients import Client, coded
from process import ADDRESSES, Process, greets, listens, until

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url, body=None, headers=None):
    """The body of the answer; urllib.error.HTTPError if it is refused."""
    with OPENER.open(urllib.request.Request(url, body, headers or {}), timeout=60) as answer:
        return answer.read()


class Transmission(Client):
    name = "Transmission"
    installed = shutil.which("transmission-daemon") is not None
    dials = False
    # It works off requests in steps of half a second: 5 to 30 MiB/s.
    most_mib, most_runs = 128, 1

    def start(self):
        control = ADDRESSES.port("127.0.0.1")
        self.url = f"http://127.0.0.1:{control}/transmission/rpc"
        self.session = ""
        settings = {
            "bind-address-ipv4": self.ip, "bind-address-ipv6": "::1", "peer-port": self.port,
            "peer-port-random-on-start": False, "port-forwarding-enabled": False, "rpc-enabled": True,
            "rpc-bind-address": "127.0.0.1", "rpc-port": control, "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False, "rpc-authentication-required": False, "dht-enabled": False,
            "lpd-enabled": False, "pex-enabled": False, "utp-enabled": False, "encryption": 0,
            "incomplete-dir-enabled": False, "rename-partial-files": False, "preallocation": 0,
            "download-queue-enabled": False, "seed-queue-enabled": False, "queue-stalled-enabled": False,
            "ratio-limit-enabled": False, "idle-seeding-limit-enabled": False, "start-added-torrents": True,
        }
        with open(os.path.join(self.folder, "settings.json"), "w") as f:
            json.dump(settings, f)
        self.process = Process(["transmission-daemon", "-f", "-g", self.folder], self.folder,
                               env={"HOME": self.folder})
        until("Transmission", lambda: listens("127.0.0.1", control), self.process)

    def call(self, method, **arguments):
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        try:
            answer = ask(self.url, body, {"X-Transmission-Session-Id": self.session})
        except urllib.error.HTTPError as e:
            # The first request is refused with the id to be used.
            if e.code != 409:
                raise
            self.session = e.headers["X-Transmission-Session-Id"]
            answer = ask(self.url, body, {"X-Transmission-Session-Id": self.session})
        answer = json.loads(answer)
        if answer["result"] != "success":
            raise RuntimeError(f"{method}: {answer['result']}")
        return answer["arguments"]

    def add(self, torrent, data):
        answer = self.call("torrent-add", metainfo=coded(torrent), **{"download-dir": data})
        self.id = answer["torrent-added"]["id"]

    check = add

    def serve(self, torrent, data):
        self.add(torrent, data)
        until("Transmission's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.add(torrent, data)

    def complete(self):
        fields = ["leftUntilDone", "totalSize", "metadataPercentComplete", "status"]
        t = self.call("torrent-get", ids=[self.id], fields=fields)["torrents"][0]
        return t["leftUntilDone"] == 0 and t["totalSize"] > 0 and t["metadataPercentComplete"] == 1 \
            and t["status"] in (5, 6)


class Qbittorrent(Client):
    name = "qBittorrent"
    installed = shutil.which("qbittorrent-nox") is not None

    def start(self):
        control = ADDRESSES.port("127.0.0.1")
        self.url = f"http://127.0.0.1:{control}/api/v2/"
        folder = os.path.join(self.folder, "qBittorrent", "config")
        os.makedirs(folder)
        session = {
            "Port": self.port, "Interface": "lo", "InterfaceName": "lo", "InterfaceAddress": self.ip,
            "DHTEnabled": "false", "LSDEnabled": "false", "PeXEnabled": "false", "MultiConnectionsPerIp": "true",
            "Encryption": 2, "BTProtocol": "TCP", "QueueingSystemEnabled": "false", "RefreshInterval": 100,
            "IgnoreLimitsOnLAN": "false",
        }
        preferences = {
            "Enabled": "true", "Address": "127.0.0.1", "Port": control, "LocalHostAuth": "false",
            "CSRFProtection": "false", "HostHeaderValidation": "false", "UseUPnP": "false",
        }
        lines = ["[LegalNotice]", "Accepted=true", "[BitTorrent]"]
        lines += [f"Session\\{key}={value}" for key, value in session.items()]
        lines += ["[Network]", "PortForwardingEnabled=false", "[Preferences]"]
        lines += [f"WebUI\\{key}={value}" for key, value in preferences.items()]
        with open(os.path.join(folder, "qBittorrent.conf"), "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = Process(["qbittorrent-nox", f"--profile={self.folder}", f"--webui-port={control}"],
                               self.folder, env={"HOME": self.folder, "LC_ALL": "C.UTF-8"})
        until("qBittorrent", lambda: listens("127.0.0.1", control), self.process)

    def info(self):
        return json.loads(ask(self.url + "torrents/info"))

    def add(self, torrent, data, unchecked):
        with open(torrent, "rb") as f:
            self.post(f.read(), data, unchecked)
        self.hash = until("qBittorrent's torrent", self.info, self.process)[0]["hash"]

    def post(self, torrent, data, unchecked):
        edge = "7d9c1f53e0b84a6f"
        body = b""
        for key, value in (("savepath", data), ("autoTMM", "false"), ("skip_checking", unchecked)):
            body += f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        body += (f'--{edge}\r\nContent-Disposition: form-data; name="torrents"; filename="t.torrent"\r\n'
                 "Content-Type: application/x-bittorrent\r\n\r\n").encode() + torrent
        body += f"\r\n--{edge}--\r\n".encode()
        ask(self.url + "torrents/add", body, {"Content-Type": f"multipart/form-data; boundary={edge}"})

    def serve(self, torrent, data):
        self.add(torrent, data, "true")
        until("qBittorrent's seed", self.complete, self.process)
        # It says so half a second before it takes connections, and who is cut off comes again a minute later.
        until("qBittorrent to take peers", lambda: greets(self.ip, self.port, self.hash), self.process)

    def check(self, torrent, data):
        self.add(torrent, data, "false")

    def fetch(self, torrent, data, seed):
        self.add(torrent, data, "false")
        form = urllib.parse.urlencode({"hashes": self.hash, "peers": "%s:%d" % seed}).encode()

        def told():
            try:
                ask(self.url + "torrents/addPeers", form)
                return True
            except urllib.error.HTTPError:
                return False
        # Refused until the torrent is up.
        until("qBittorrent to take a peer", told, self.process, 20)

    def complete(self):
        t = self.info()[0]
        return t["amount_left"] == 0 and t["size"] > 0 \
            and t["state"] in ("uploading", "stalledUP", "forcedUP", "queuedUP")


class Rqbit(Client):
    name = "rqbit"
    installed = shutil.which("rqbit") is not None

    def start(self):
        control = ADDRESSES.port("127.0.0.1")
        self.url = f"http://127.0.0.1:{control}/torrents"
        self.process = Process(
            ["rqbit", "--http-api-listen-addr", f"127.0.0.1:{control}", "-v", "warn", "--listen-ip", self.ip,
             "--listen-port", str(self.port), "--announce-port", str(self.port), "--ipv4-only",
             "--disable-upnp-port-forward", "--disable-lsd", "--disable-dht", "--disable-dht-persistence",
             "server", "start", "--disable-persistence", self.folder], self.folder, env={"HOME": self.folder})
        until("rqbit", lambda: listens("127.0.0.1", control), self.process)

    def add(self, torrent, data, **more):
        # It takes the folder as it is, without the name of a torrent of several files.
        name = os.path.join(data, self.options.folder) if self.options.folder else data
        query = urllib.parse.urlencode({"overwrite": "true", "output_folder": name, **more})
        with open(torrent, "rb") as f:
            self.id = json.loads(ask(f"{self.url}?{query}", f.read()))["id"]

    check = add

    def serve(self, torrent, data):
        self.add(torrent, data)
        until("rqbit's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.add(torrent, data, initial_peers="%s:%d" % seed)

    def complete(self):
        s = json.loads(ask(f"{self.url}/{self.id}/stats/v1"))
        return s["finished"] and s["state"] == "live"
