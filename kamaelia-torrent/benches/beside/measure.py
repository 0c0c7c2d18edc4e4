#!/usr/bin/env python3
"""Measures this program beside other BitTorrent clients, in one run, on one payload, over loopback.

    cargo build --release
    python3 kamaelia-torrent/benches/beside/measure.py

Needs Python 3 with libtorrent (`pip install libtorrent`); aria2 and rtorrent take part if they are installed.
`.ci/install-clients` gets all three. Linux only: processor time and memory are read from /proc.

Two tables, both of a payload of 1 GiB in one file on tmpfs, plain TCP, no DHT, no tracker traffic but one announce:

  download   each program in turn downloads from the same kind of seed (libtorrent)
  seed       the same kind of leech (libtorrent) downloads from each program in turn

The programs take turns (A B C A B C ...), so that whatever else the machine does hits all alike. Given are medians
with the smallest and the largest value. Processor time is user plus system time of the program's whole process tree
between the moment the transfer is asked for and its end (our program is started at that moment, the others run
already; aria2 looks for peers once a second); over loopback the sender is charged for much of what the
receiver's network stack does. Memory is the peak of resident memory that is not backed by files (RssAnon), and in
brackets of all of it. Every download is compared with the payload by SHA-256.

Options: --runs N (5), --size MIB (1024), --root FOLDER (/dev/shm), --only download|seed, --program PATH,
--clients ours,libtorrent,aria2,rtorrent
"""
import argparse
import base64
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import xmlrpc.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TICKS = os.sysconf("SC_CLK_TCK")
# The longest a transfer may take.
LIMIT = 180
# libtorrent drops requests beyond its queue of 2,000 without a word. rtorrent asks for more than that and then waits
# for a minute, several times in a GiB.
LIBTORRENT = {"max_allowed_in_request_queue": 200_000}


# --- Processes ---------------------------------------------------------------------------------------------------

def tree(pid):
    """A process and all that it started."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as f:
                    todo += [int(child) for child in f.read().split()]
        except OSError:
            pass
    return found


class Process:
    """A child process whose processor time and memory are watched."""

    def __init__(self, argv, folder, stdin=subprocess.DEVNULL, stdout=None, env=None):
        self.log = os.path.join(folder, "log")
        variables = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        variables.update(env or {})
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(argv, cwd=folder, stdin=stdin, stdout=stdout or log, stderr=log,
                                          env=variables, start_new_session=True)
        self.usage = None
        self.peak_all = self.peak_own = 0
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while not self.over.wait(0.02):
            everything = own = 0
            for pid in tree(self.child.pid):
                try:
                    with open(f"/proc/{pid}/status") as f:
                        fields = dict(line.split(":", 1) for line in f if line.startswith(("VmRSS", "RssAnon")))
                    everything += int(fields["VmRSS"].split()[0])
                    own += int(fields["RssAnon"].split()[0])
                except (OSError, KeyError, ValueError):
                    pass
            self.peak_all = max(self.peak_all, everything)
            self.peak_own = max(self.peak_own, own)

    def cpu(self):
        """Seconds of processor time so far."""
        if self.usage is not None:
            return self.usage.ru_utime + self.usage.ru_stime
        total = 0
        for pid in tree(self.child.pid):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                # utime, stime, and those of children that are gone
                total += sum(int(x) for x in fields[11:15])
            except OSError:
                pass
        return total / TICKS

    def ended(self):
        """The exit code, or None while it runs."""
        if self.usage is None:
            pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid == 0:
                return None
            self.usage = usage
            self.child.returncode = os.waitstatus_to_exitcode(status)
        return self.child.returncode

    def words(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-2000:]

    def stop(self):
        self.over.set()
        if self.ended() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            while self.ended() is None:
                time.sleep(0.01)


def until(what, ready, process=None, limit=LIMIT):
    """Asks `ready` until it says yes."""
    end = time.monotonic() + limit
    while not ready():
        if process is not None and process.ended() is not None:
            raise RuntimeError(f"ended while waiting for {what}: {process.words()}")
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}: {process.words() if process else ''}")
        time.sleep(0.01)


def listens(ip, port):
    try:
        socket.create_connection((ip, port), 0.2).close()
        return True
    except OSError:
        return False


class Addresses:
    """Addresses of 127.0.0.0/8, each used once, and free ports on them."""

    def __init__(self):
        self.used = 0
        self.net = 1 + random.randrange(250)

    def own(self):
        self.used += 1
        return f"127.{self.net}.{self.used // 250}.{2 + self.used % 250}"

    @staticmethod
    def port(ip):
        with socket.socket() as s:
            s.bind((ip, 0))
            return s.getsockname()[1]


ADDRESSES = Addresses()


# --- A tracker that knows one seed ---------------------------------------------------------------------------------

class OnePeerTracker:
    """Answers every announce with the address of the seed: some clients find peers in no other way."""

    def __init__(self):
        self.seed = None
        tracker = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                port = parse_qs(urlsplit(self.path).query).get("port", ["0"])[0]
                peers = b""
                # Nobody is told of himself.
                if tracker.seed and port != str(tracker.seed[1]):
                    peers = socket.inet_aton(tracker.seed[0]) + tracker.seed[1].to_bytes(2, "big")
                body = b"d8:intervali1800e5:peers%d:%se" % (len(peers), peers)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer((ADDRESSES.own(), 0), Handler)
        self.url = "http://%s:%d/announce" % self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


# --- Clients -------------------------------------------------------------------------------------------------------

class Client:
    """A client with one torrent. `start` returns when it takes orders, `serve` when peers can connect, `fetch` when
    the download is asked for; `complete` tells whether the download is there and verified."""

    installed = True

    def __init__(self, options, folder):
        os.makedirs(folder)
        self.options, self.folder = options, folder
        self.ip = ADDRESSES.own()
        self.port = ADDRESSES.port(self.ip)

    process = None

    def start(self):
        """Only for clients that run before they are given a torrent."""

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

    def serve(self, torrent, data):
        self.call(do="add", torrent=torrent, dir=data, seed=True)
        until("libtorrent's seed", lambda: self.call(do="state")["complete"], self.process)

    def fetch(self, torrent, data, seed):
        self.call(do="add", torrent=torrent, dir=data, peers=[seed])

    def complete(self):
        return self.call(do="state")["complete"]


class Aria2(Client):
    name = "aria2"
    installed = shutil.which("aria2c") is not None

    def start(self):
        control = ADDRESSES.port("127.0.0.1")
        self.url = f"http://127.0.0.1:{control}/jsonrpc"
        self.process = Process(
            ["aria2c", "--no-conf=true", "--enable-rpc=true", f"--rpc-listen-port={control}",
             "--rpc-listen-all=false", "--disable-ipv6=true", f"--interface={self.ip}", f"--listen-port={self.port}",
             "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false",
             "--seed-ratio=0.0", "--bt-max-peers=0", "--bt-tracker-interval=2", "--file-allocation=none",
             "--allow-overwrite=true", "--quiet=true", "--bt-require-crypto=false"], self.folder)
        until("aria2", lambda: listens("127.0.0.1", control), self.process)

    def call(self, method, *parameters):
        body = {"jsonrpc": "2.0", "id": "1", "method": "aria2." + method, "params": parameters}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url, json.dumps(body).encode(), timeout=20) as answer:
            return json.load(answer)["result"]

    def add(self, torrent, data, **options):
        with open(torrent, "rb") as f:
            coded = base64.b64encode(f.read()).decode()
        self.gid = self.call("addTorrent", coded, [], {"dir": data, **options})

    def serve(self, torrent, data):
        self.add(torrent, data, **{"bt-seed-unverified": "true", "check-integrity": "false"})
        until("aria2's seed", self.complete, self.process)

    def fetch(self, torrent, data, seed):
        self.add(torrent, data)

    def complete(self):
        s = self.call("tellStatus", self.gid)
        return s["totalLength"] != "0" and s["completedLength"] == s["totalLength"] and s.get("seeder") == "true"


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
        until("rtorrent", lambda: os.path.exists(self.socket), self.process)

    def call(self, method, *parameters):
        body = xmlrpc.client.dumps(parameters, method).encode()
        head = b"CONTENT_LENGTH\0%d\0SCGI\0001\0" % len(body)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
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

    def complete(self):
        return self.call("d.complete", self.hash) == 1 and self.call("d.hashing", self.hash) == 0 \
            and self.call("d.is_active", self.hash) == 1


CLIENTS = {"ours": Ours, "libtorrent": Libtorrent, "aria2": Aria2, "rtorrent": Rtorrent}


# --- Measuring -----------------------------------------------------------------------------------------------------

def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(f.read()).hexdigest()


class Course:
    """The payload, its torrent and the tracker that brings one seed and one leech together."""

    def __init__(self, options, root):
        self.options, self.root = options, root
        self.data = os.path.join(root, "source")
        os.makedirs(self.data)
        self.payload = os.path.join(self.data, "payload.bin")
        block = random.Random(1)
        with open(self.payload, "wb") as f:
            for _ in range(options.size):
                f.write(block.randbytes(1 << 20))
        self.hash = sha256(self.payload)
        self.tracker = OnePeerTracker()
        self.torrent = os.path.join(root, "payload.torrent")
        subprocess.run([options.program, "make", self.payload, "-o", self.torrent, "--tracker", self.tracker.url],
                       check=True, stdout=subprocess.DEVNULL)
        self.count = 0

    def transfer(self, seed_class, leech_class):
        """One transfer; what each side used."""
        self.count += 1
        folder = os.path.join(self.root, f"r{self.count}")
        target = os.path.join(folder, "target")
        os.makedirs(target)
        seed = leech = None
        try:
            seed = seed_class(self.options, os.path.join(folder, "s"))
            self.tracker.seed = (seed.ip, seed.port)
            seed.start()
            seed.serve(self.torrent, self.data)
            leech = leech_class(self.options, os.path.join(folder, "l"))
            leech.start()
            seed_before = seed.process.cpu()
            # Ours has not started yet: its start is part of what is measured.
            leech_before = leech.process.cpu() if leech.process else 0
            start = time.monotonic()
            leech.fetch(self.torrent, target, (seed.ip, seed.port))
            until("the download", leech.complete)
            wall = time.monotonic() - start
            result = {"wall": wall}
            for side, client, before in (("seed", seed, seed_before), ("leech", leech, leech_before)):
                p = client.process
                result[side] = {"cpu": p.cpu() - before, "own": p.peak_own, "all": p.peak_all}
        finally:
            for client in (leech, seed):
                if client is not None:
                    client.stop()
        if sha256(os.path.join(target, "payload.bin")) != self.hash:
            raise RuntimeError(f"{leech_class.name} from {seed_class.name}: other content arrived")
        shutil.rmtree(folder)
        return result


def spread(values, form):
    return f"{form % statistics.median(values)} ({form % min(values)} to {form % max(values)})"


def table(title, side, results, gib):
    print(f"\n{title}\n")
    print("| program | CPU-s per GiB | MiB/s | peak memory, MiB | × libtorrent, CPU |")
    print("| --- | --- | --- | --- | --- |")
    middle = {name: statistics.median(r[side]["cpu"] for r in runs) for name, runs in results.items() if runs}
    base = middle.get(Libtorrent.name)
    for name, runs in results.items():
        if not runs:
            print(f"| {name} | did not complete | | | |")
            continue
        own = statistics.median(r[side]["own"] for r in runs) / 1024
        everything = statistics.median(r[side]["all"] for r in runs) / 1024
        ratio = "%.2f" % (middle[name] / base) if base else ""
        print(f"| {name} | {spread([r[side]['cpu'] / gib for r in runs], '%.2f')} "
              f"| {spread([gib * 1024 / r['wall'] for r in runs], '%.0f')} "
              f"| {own:.0f} ({everything:.0f}) | {ratio} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--root", default="/dev/shm")
    parser.add_argument("--only", choices=["download", "seed"])
    parser.add_argument("--program", default=os.path.join(TOP, "target/release/kamaelia-torrent"))
    parser.add_argument("--clients", default=",".join(CLIENTS))
    options = parser.parse_args()
    # So that the clients are ended when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        import libtorrent
    except ImportError:
        sys.exit("the other side of every transfer is libtorrent: pip install libtorrent")
    clients = []
    for name in options.clients.split(","):
        if CLIENTS[name].installed:
            clients.append(CLIENTS[name])
        else:
            print(f"{name} is not installed and does not take part")
    gib = options.size / 1024
    root = tempfile.mkdtemp(prefix="beside", dir=options.root)
    try:
        course = Course(options, root)
        print(f"libtorrent {libtorrent.__version__}, {os.cpu_count()} cores, {options.size} MiB in {options.root}, "
              f"median (smallest to largest) of {options.runs} runs")
        for what, side in (("download", "leech"), ("seed", "seed")):
            if options.only not in (None, what):
                continue
            results = {client.name: [] for client in clients}
            for run in range(options.runs):
                for client in clients:
                    pair = (Libtorrent, client) if what == "download" else (client, Libtorrent)
                    try:
                        r = course.transfer(*pair)
                    except (RuntimeError, TimeoutError, OSError) as e:
                        print(f"  {what}, run {run + 1}, {client.name}: {e}", file=sys.stderr, flush=True)
                        continue
                    print(f"  {what}, run {run + 1}, {client.name}: {r['wall']:.2f} s, "
                          f"{r[side]['cpu'] / gib:.2f} CPU-s/GiB", file=sys.stderr, flush=True)
                    results[client.name].append(r)
            table(f"{what.capitalize()} (the other side is libtorrent)", side, results, gib)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
