"""A payload with its torrent, a tracker that brings two clients together, and one transfer between them."""
import hashlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from process import ADDRESSES, until


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

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                """A client that was stopped while it asked is no news."""

        self.server = Server((ADDRESSES.own(), 0), Handler)
        self.url = "http://%s:%d/announce" % self.server.server_address[:2]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def synthetic(options, root, total, piece, tracker=None, data=None):
    """A torrent whose pieces all have the same content, which engine_bench's peers serve from memory; its file."""
    path = os.path.join(root, f"synthetic-{total}-{piece}.torrent")
    more = ["--data", data] if data else []
    subprocess.run([options.helper, "synthetic", path, "--total", str(total), "--piece", str(piece), *more],
                   check=True)
    if tracker:
        with open(path, "rb") as f:
            torrent = f.read()
        with open(path, "wb") as f:
            f.write(b"d8:announce%d:%s" % (len(tracker), tracker.encode()) + torrent[1:])
    return path


def sha256(path):
    """The hash of a file, or of all files beneath a folder in the order of their names."""
    total = hashlib.sha256()
    paths = [path] if os.path.isfile(path) else sorted(
        os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    for one in paths:
        with open(one, "rb") as f:
            while part := f.read(1 << 20):
                total.update(part)
    return total.hexdigest()


class Course:
    """A payload of `mib` MiB beneath `root`: one file, or as many as asked for; and transfers of it."""

    def __init__(self, options, root, mib, piece_kib=None, files=1):
        self.options, self.root, self.mib = options, root, mib
        self.data = os.path.join(root, "source")
        self.name = "payload.bin" if files == 1 else "payload"
        # rqbit has to know.
        options.folder = None if files == 1 else self.name
        self.folder = options.folder
        payload = os.path.join(self.data, self.name)
        os.makedirs(self.data if files == 1 else payload)
        noise = random.Random(1)
        if files == 1:
            with open(payload, "wb") as f:
                for _ in range(mib):
                    f.write(noise.randbytes(1 << 20))
        else:
            for i in range(files):
                with open(os.path.join(payload, f"f{i:05}"), "wb") as f:
                    f.write(noise.randbytes((mib << 20) // files))
        self.hash = sha256(payload)
        self.tracker = OnePeerTracker()
        self.torrent = os.path.join(root, "payload.torrent")
        pieces = ["--piece-length", str(piece_kib * 1024)] if piece_kib else []
        subprocess.run([options.program, "make", payload, "-o", self.torrent, "--tracker", self.tracker.url,
                        *pieces], check=True, stdout=subprocess.DEVNULL)
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tracker.server.shutdown()
        shutil.rmtree(self.root, ignore_errors=True)

    def transfer(self, seed_class, leech_class, target_root=None, between=None):
        """One transfer; what each side used. `between` stands between the two and gives the address to be dialled."""
        self.count += 1
        self.options.folder = self.folder
        folder = os.path.join(self.root, f"r{self.count}")
        target = os.path.join(target_root or folder, f"target{self.count}")
        os.makedirs(folder)
        os.makedirs(target)
        seed = leech = line = None
        try:
            seed = seed_class(self.options, os.path.join(folder, "s"))
            seed.start()
            seed.serve(self.torrent, self.data)
            address = (seed.ip, seed.port)
            if between is not None:
                line = between(os.path.join(folder, "b"), address)
                address = line.address
            self.tracker.seed = address
            leech = leech_class(self.options, os.path.join(folder, "l"))
            leech.start()
            seed_before = seed.process.cpu()
            # Ours has not started yet: its start is part of what is measured.
            leech_before = leech.process.cpu() if leech.process else 0
            start = time.monotonic()
            leech.fetch(self.torrent, target, address)
            if not leech.dials and not seed.dial((leech.ip, leech.port)):
                raise RuntimeError(f"{leech.name} does not dial and {seed.name} cannot be told to")
            until("the download", leech.complete)
            result = {"wall": time.monotonic() - start}
            for side, client, before in (("seed", seed, seed_before), ("leech", leech, leech_before)):
                p = client.process
                result[side] = {"cpu": p.cpu() - before, "own": p.peak_own, "all": p.peak_all}
            for client in (leech, seed):
                client.stop()
            if sha256(os.path.join(target, self.name)) != self.hash:
                raise RuntimeError(f"{leech_class.name} from {seed_class.name}: other content arrived")
        finally:
            for thing in (leech, seed, line):
                if thing is not None:
                    thing.stop()
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
        return result
