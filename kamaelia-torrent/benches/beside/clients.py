"""Clients with one torrent each, driven from outside: ours, libtorrent, aria2 and rtorrent."""
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
import xmlrpc.client

from process import ADDRESSES, Process, listens, until

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
# libtorrent drops requests beyond its queue of 2,000 without a word. rtorrent asks for more than that and then waits
# for a minute, several times in a GiB.
# By default it lets five connections wait to be accepted; of a crowd most would come again a second later.
LIBTORRENT = {"max_allowed_in_request_queue": 200_000, "connections_limit": 2000, "listen_queue_size": 1000}


def coded(torrent):
    """A file as base64."""
    with open(torrent, "rb") as f:
        return base64.b64encode(f.read()).decode()


class Client:
    """A client with one torrent. `start` returns when it takes orders, `serve` when peers can connect, `fetch` when
    the download is asked for, `check` when a hash check of what is there has been asked for; `complete` tells whether
    everything is there and verified."""

    installed = True
    # Whether it dials peers of 127.0.0.0/8; if not, the other side has to.
    dials = True
    # The largest payload, MiB, and the most runs that it is given: some take a minute for a GiB.
    most_mib, most_runs = 1 << 20, 1 << 20

    def __init__(self, options, folder):
        os.makedirs(folder)
        self.options, self.folder = options, folder
        self.ip = ADDRESSES.own()
        self.port = ADDRESSES.port(self.ip)

    process = None

    def start(self):
        """Only for clients that run before they are given a torrent."""

    def dial(self, peer):
        """Connects to a peer that does not dial; False if this client cannot be told to."""
        return False

    def stop(self):
        if self.process is not None:
            self.process.stop()


class Ours(Client):
    name = "kamaelia-torrent"

    def run(self, what, torrent, data, more=()):
        self.process = Process([self.options.program, what, torrent, "--dir", data, "--json",
                                "--listen", f"{self.ip}:{self.port}", "--state", self.folder, *more],
                               self.folder, env={"HOME": self.folder})

    def serve(self, torrent, data):
        self.run("seed", torrent, data)

        def seeding():
            with open(self.process.log) as f:
                return '"activity":"seeding"' in f.read().replace(" ", "")
        until("our seed", seeding, self.process)

    def fetch(self, torrent, data, seed):
        self.run("get", torrent, data, ["--peer", "%s:%d" % seed])

    def check(self, torrent, data):
        self.process = Process([self.options.program, "check", torrent, "--dir", data, "--json"], self.folder)

    def complete(self):
        code = self.process.ended()
        if code:
            raise RuntimeError(f"exit code {code}: {self.process.words()}")
        return code == 0


class Libtorrent(Client):
    name = "libtorrent"

    def start(self):
        node = os.path.join(TOP, "kamaelia-torrent/tests/interop/libtorrent_node.py")
        self.process = Process([sys.executable, node, f"{self.ip}:{self.port}", json.dumps(LIBTORRENT)], self.folder,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        until("libtorrent", lambda: listens(self.ip, self.port), self.process)

    def call(self, **request):
        self.process.child.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.child.stdin.flush()
        answer = json.loads(self.process.child.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def serve(self, torrent, data, **how):
        # Checked before it serves, as seeds of users are. In seed mode it would hash each piece when it is asked for it: that
        # would count as work of the seed, and it would answer piece by piece, whatever the order of the requests.
        self.call(do="add", torrent=torrent, dir=data, **how)
        until("libtorrent's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.call(do="add", torrent=torrent, dir=data, peers=[seed])

    def check(self, torrent, data):
        self.call(do="add", torrent=torrent, dir=data)

    def dial(self, peer):
        self.call(do="connect", peers=[peer])
        return True

    def complete(self):
        return self.call(do="state")["complete"]


class UncheckedLibtorrent(Libtorrent):
    """A seed in "seed mode"."""

    def serve(self, torrent, data):
        super().serve(torrent, data, seed=True)


class Aria2(Client):
    name = "aria2"
    installed = shutil.which("aria2c") is not None
    more = ()

    def start(self):
        control = ADDRESSES.port("127.0.0.1")
        self.url = f"http://127.0.0.1:{control}/jsonrpc"
        self.process = Process(
            ["aria2c", "--no-conf=true", "--enable-rpc=true", f"--rpc-listen-port={control}",
             "--rpc-listen-all=false", "--disable-ipv6=true", f"--interface={self.ip}", f"--listen-port={self.port}",
             "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
             "--seed-ratio=0.0", "--bt-max-peers=0", "--bt-tracker-interval=2", "--file-allocation=none",
             "--allow-overwrite=true", "--quiet=true", "--bt-require-crypto=false", *self.more], self.folder)
        until("aria2", lambda: listens("127.0.0.1", control), self.process)

    def call(self, method, *parameters):
        body = {"jsonrpc": "2.0", "id": "1", "method": "aria2." + method, "params": parameters}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url, json.dumps(body).encode(), timeout=120) as answer:
            return json.load(answer)["result"]

    def add(self, torrent, data, **options):
        self.gid = self.call("addTorrent", coded(torrent), [], {"dir": data, **options})

    def serve(self, torrent, data):
        self.add(torrent, data, **{"bt-seed-unverified": "true", "check-integrity": "false"})
        until("aria2's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.add(torrent, data)

    def check(self, torrent, data):
        self.add(torrent, data, **{"check-integrity": "true"})

    def complete(self):
        s = self.call("tellStatus", self.gid)
        return s["totalLength"] != "0" and s["completedLength"] == s["totalLength"] and s.get("seeder") == "true" \
            and "verifiedLength" not in s


class Rtorrent(Client):
    name = "rtorrent"
    installed = shutil.which("rtorrent") is not None

    def start(self):
        # The path of a socket has 107 bytes at most.
        self.socket = os.path.join(self.folder, "scgi")
        session = os.path.join(self.folder, "session")
        os.makedirs(session)
        settings = {
            "system.daemon.set": "true", "network.bind_address.set": self.ip, "network.local_address.set": self.ip,
            "network.port_range.set": f"{self.port}-{self.port}", "network.port_random.set": "no",
            "dht.mode.set": "disable", "protocol.pex.set": "no", "protocol.encryption.set": "none",
            "session.path.set": session, "pieces.hash.on_completion.set": "no",
            "network.xmlrpc.size_limit.set": "16000000", "network.scgi.open_local": self.socket,
        }
        rc = os.path.join(self.folder, "rc")
        with open(rc, "w") as f:
            f.writelines(f"{key} = {value}\n" for key, value in settings.items())
        self.process = Process(["rtorrent", "-n", "-o", f"import={rc}"], self.folder)

        def takes_orders():
            # The socket is there a moment before anybody listens.
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.connect(self.socket)
                return True
            except OSError:
                return False
        until("rtorrent", takes_orders, self.process)

    def call(self, method, *parameters):
        body = xmlrpc.client.dumps(parameters, method).encode()
        head = b"CONTENT_LENGTH\0%d\0SCGI\0001\0" % len(body)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(self.socket)
            s.sendall(b"%d:%s,%s" % (len(head), head, body))
            answer = b""
            while part := s.recv(1 << 16):
                answer += part
        return xmlrpc.client.loads(answer.split(b"\r\n\r\n", 1)[1])[0][0]

    def add(self, torrent, data):
        with open(torrent, "rb") as f:
            self.call("load.raw_start", "", xmlrpc.client.Binary(f.read()), f'd.directory.set="{data}"')
        until("rtorrent's torrent", lambda: self.call("download_list"), self.process)
        self.hash = self.call("download_list")[0]

    def serve(self, torrent, data):
        self.add(torrent, data)
        until("rtorrent's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.add(torrent, data)

        def told():
            try:
                self.call("add_peer", self.hash, "%s:%d" % seed)
                return True
            except xmlrpc.client.Fault:
                return False
        # Refused until it has started the torrent.
        until("rtorrent to take a peer", told, self.process)

    check = serve

    def complete(self):
        return self.call("d.complete", self.hash) == 1 and self.call("d.hashing", self.hash) == 0 \
            and self.call("d.is_active", self.hash) == 1
