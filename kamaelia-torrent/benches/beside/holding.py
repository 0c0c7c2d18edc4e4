"""Other clients with many torrents of which nobody wants anything."""
import base64
import hashlib
import json
import os
import time
import urllib.error
import urllib.parse
import xmlrpc.client

from clients import Aria2, Rtorrent
from clients_http import Qbittorrent, Rqbit, Transmission, ask
from process import tree

PIECE, PIECES = 16 * 1024, 64
LEN = PIECE * PIECES


def torrent(i):
    """The bytes of the torrent of a file of zeros, the same that engine_bench takes."""
    name = f"t{i}".encode()
    hashes = hashlib.sha1(bytes(PIECE)).digest() * PIECES
    return b"d4:infod6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:%see" % (
        LEN, len(name), name, PIECE, len(hashes), hashes)


def make_files(folder, count):
    """The payloads, each one hole."""
    os.makedirs(folder)
    for i in range(count):
        with open(os.path.join(folder, f"t{i}"), "wb") as f:
            f.truncate(LEN)


def resident(process):
    """What of a process and its children is not backed by files, KiB."""
    total = 0
    for pid in tree(process.child.pid):
        with open(f"/proc/{pid}/status") as f:
            total += next((int(line.split()[1]) for line in f if line.startswith("RssAnon")), 0)
    return total


class TransmissionHolds(Transmission):
    def hold(self, data, i):
        self.call("torrent-add", metainfo=base64.b64encode(torrent(i)).decode(), **{"download-dir": data})

    def held(self):
        found = self.call("torrent-get", fields=["leftUntilDone", "status"])["torrents"]
        return sum(t["leftUntilDone"] == 0 and t["status"] in (5, 6) for t in found)


class QbittorrentHolds(Qbittorrent):
    def hold(self, data, i):
        self.post(torrent(i), data, "true")

    def held(self):
        return sum(t["state"] in ("uploading", "stalledUP") for t in self.info())


class RqbitHolds(Rqbit):
    def hold(self, data, i):
        query = urllib.parse.urlencode({"overwrite": "true", "output_folder": data})
        ask(f"{self.url}?{query}", torrent(i))

    def held(self):
        found = json.loads(ask(self.url + "?with_stats=true"))["torrents"]
        return sum(t["stats"]["finished"] and t["stats"]["state"] == "live" for t in found)


class Aria2Holds(Aria2):
    more = ("--max-concurrent-downloads=100000",)

    def hold(self, data, i):
        self.call("addTorrent", base64.b64encode(torrent(i)).decode(), [],
                  {"dir": data, "bt-seed-unverified": "true", "check-integrity": "false"})

    def held(self):
        found = self.call("tellActive", ["completedLength", "totalLength"])
        return sum(t["completedLength"] == t["totalLength"] for t in found)


class RtorrentHolds(Rtorrent):
    def hold(self, data, i):
        # What its own script rtorrent_fast_resume writes: nothing is hashed. Without the key of a tracker it takes none.
        when = int(os.stat(os.path.join(data, f"t{i}")).st_mtime)
        bits = b"\xff" * (PIECES // 8)
        resume = b"17:libtorrent_resumed8:bitfield%d:%s5:filesld9:completedi%de5:mtimei%de8:priorityi1eeee" % (
            len(bits), bits, PIECES, when)
        self.call("load.raw_start", "", xmlrpc.client.Binary(b"d8:announce0:" + torrent(i)[1:-1] + resume + b"e"),
                  f'd.directory.set="{data}"')

    def held(self):
        found = self.call("d.multicall2", "", "main", "d.complete=", "d.is_active=", "d.hashing=")
        return sum(line == [1, 1, 0] for line in found)


HOLDS = [Aria2Holds, RtorrentHolds, QbittorrentHolds, RqbitHolds, TransmissionHolds]


def hold(client, folder, count, limit, idle):
    """Loads torrents into a client that runs, and leaves it alone for a while: seconds to load, KiB, part of a core.
    If it takes longer than `limit`, only that."""
    data = os.path.join(folder, "data")
    make_files(data, count)
    before, start = resident(client.process), time.monotonic()
    for i in range(count):
        client.hold(data, i)
        if time.monotonic() - start > limit:
            return {"load_seconds": time.monotonic() - start}
    while True:
        asked = time.monotonic()
        if client.held() >= count:
            break
        if time.monotonic() - start > limit:
            return {"load_seconds": time.monotonic() - start}
        # Asking costs the client something, too.
        time.sleep(max(0.02, time.monotonic() - asked))
    seconds, grown = time.monotonic() - start, resident(client.process) - before
    # What asking made it do is over.
    time.sleep(1)
    cpu, start = client.process.cpu(), time.monotonic()
    time.sleep(idle)
    core = (client.process.cpu() - cpu) / (time.monotonic() - start)
    return {"load_seconds": seconds, "grown_kib": grown, "idle_core": core}
