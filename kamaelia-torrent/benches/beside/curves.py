"""What becomes of the figures as something grows: peers, torrents, the size of one, the delay of the line, that of the
disk. No curve may be worse than linear."""
import json
import os
import subprocess
import sys
import time

from clients import Libtorrent, Ours
from course import OnePeerTracker, synthetic
from part import Helper, Part, Running, Watch, helper_result
from process import ADDRESSES, until
from report import by_case

MIB = 1 << 20
LIBTORRENT_HOLDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorrent_holds.py")


class EngineLeech:
    """Our engine with settings that the program does not offer, as a leech that peers can dial."""

    name = Ours.name

    def __init__(self, options, folder, torrent, *more):
        self.helper = Helper(options, folder, "leech", torrent, os.path.join(folder, "target"), *more)
        self.process = self.helper.process

    @property
    def address(self):
        return self.helper.address

    def begin(self):
        self.helper.wait("started")

    def complete(self):
        return self.helper.event("done")

    def stop(self):
        self.helper.stop()


class LibtorrentLeech:
    """The same with libtorrent."""

    name = Libtorrent.name

    def __init__(self, options, folder, torrent, *_):
        self.client = Libtorrent(options, folder)
        self.torrent, self.target = torrent, os.path.join(folder, "target")
        os.makedirs(self.target)
        self.client.start()
        self.process = self.client.process
        self.address = (self.client.ip, self.client.port)

    def begin(self):
        self.client.call(do="add", torrent=self.torrent, dir=self.target)

    def complete(self):
        return self.client.complete()

    def stop(self):
        self.client.stop()


class Dialled(Part):
    """A leech that is dialled by scripted peers."""

    def download(self, leech_class, torrent, folder, peers, *more):
        with Running() as running:
            leech = running.add(leech_class(self.options, folder, torrent, *more))
            address = leech.address
            leech.begin()
            watch = Watch(leech.process)
            running.add(Helper(self.options, folder + "-crowd", "crowd", torrent, "--peers", peers, "--dial",
                               "%s:%d" % address))
            until("the download", leech.complete, leech.process)
            return watch.used()


class Peers(Dialled):
    name, title = "peers", "From 1 to 500 peers"
    text = ("A download of half the size from as many peers, which are one process with an address for each; one has "
            "everything, the others lack a piece, so that they are told of each piece as leeches are. Ours is the "
            "engine, told to take that many.")
    plots = (("cpu", "processor seconds per GiB by number of peers"),)
    cases = (1, 2, 5, 10, 20, 50, 100, 200, 500)

    def run(self):
        mib = max(16, self.options.size // 2)
        with self.scratch() as root:
            torrent = synthetic(self.options, root, mib * MIB, 256 * 1024)
            for count in self.cases:
                for leech in (EngineLeech, *([LibtorrentLeech] if self.takes_part(Libtorrent) else [])):
                    got = []
                    for run in range(min(3, self.options.runs)):
                        folder = os.path.join(root, f"{count}-{leech.name}-{run}")
                        r = self.attempt(f"{count}, {leech.name}", lambda: self.download(
                            leech, torrent, folder, count, "--max-peers", count + 10))
                        subprocess.run(["rm", "-rf", folder], check=True)
                        if r:
                            self.say(f"{count}, {leech.name}: {r[1]:.2f} s, {r[0] / mib * 1024:.2f} CPU-s/GiB")
                            got.append(r)
                    self.add_usage(count, leech.name, mib, got)

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "peers")


class Interested(Part):
    name, title = "interested", "A seed for 1 to 500 peers"
    text = ("As many scripted peers, all interested, fetch in all twice the size from one seed, which gives its slots "
            "to some of them at a time. Ours is the engine, told to take that many.")
    plots = (("cpu", "processor seconds per GiB of a seed by number of peers"),)
    cases = (1, 10, 50, 100, 200, 500)

    def run(self):
        mib = self.options.size // 2
        with self.scratch() as root:
            data = os.path.join(root, "data")
            torrent = synthetic(self.options, root, mib * MIB, 256 * 1024, data=data)
            for count in self.cases:
                for name in (Ours.name, *([Libtorrent.name] if self.takes_part(Libtorrent) else [])):
                    folder = os.path.join(root, f"{count}-{name}")
                    r = self.attempt(f"{count}, {name}", lambda: self.once(name, torrent, data, folder, count, mib * 4))
                    if r:
                        self.say(f"{count}, {name}: {r[1]:.2f} s, {r[0] / mib / 4 * 1024:.2f} CPU-s/GiB")
                        self.add_usage(count, name, mib * 4, [r])

    def once(self, name, torrent, data, folder, count, mib):
        with Running() as running:
            if name == Ours.name:
                seed = running.add(
                    Helper(self.options, folder, "seed", torrent, data, "--max-peers", count + 10))
                address = seed.address
            else:
                seed = running.add(Libtorrent(self.options, folder))
                seed.start()
                seed.serve(torrent, data)
                address = (seed.ip, seed.port)
            watch = Watch(seed.process)
            crowd = running.add(Helper(self.options, folder + "-crowd", "crowd", torrent, "--peers", count, "--dial",
                                       "%s:%d" % address, "--fetch", mib * MIB))
            return watch.used(seconds=crowd.wait("fetched")["seconds"])

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "peers")


class Sparse(Part):
    name, title = "sparse", "A torrent of up to 1 TiB"
    text = ("A torrent of that many GiB in pieces of 4 MiB, whose file is one hole: the hole is checked, then a part of "
            "the torrent is fetched from scripted peers. Memory is what was added by then; the speed is that of the "
            "fetching, which must not depend on the size.")
    plots = (("grown", "memory of one torrent, MiB, by its size in GiB"),
             ("start", "ms until a torrent has started, by its size in GiB"))
    cases = (1, 16, 128, 1024)

    def run(self):
        with self.scratch() as root:
            for gib in self.cases:
                torrent = synthetic(self.options, root, gib << 30, 4 * MIB)
                got = []
                for run in range(min(3, self.options.runs)):
                    folder = os.path.join(root, f"{gib}-{run}")
                    r = self.attempt(f"{gib} GiB", lambda: self.once(torrent, folder, gib))
                    subprocess.run(["rm", "-rf", folder], check=True)
                    if r:
                        self.say(f"{gib} GiB: {r}")
                        got.append(r)
                amount = lambda r: r["done"]["bytes"] / (1 << 30)
                for metric, value in (
                        ("parse", lambda r: r["started"]["parse"]),
                        ("start", lambda r: r["started"]["seconds"]),
                        ("grown", lambda r: r["started"]["grown_kib"]),
                        ("cpu", lambda r: r["done"]["cpu"] / amount(r)),
                        ("speed", lambda r: amount(r) * 1024 / r["done"]["seconds"])):
                    self.report.add(self.name, gib, Ours.name, metric, [value(r) for r in got])

    def once(self, torrent, folder, gib):
        target = os.path.join(folder, "target")
        os.makedirs(target)
        with open(os.path.join(target, "payload.bin"), "wb") as f:
            f.truncate(gib << 30)
        with Running() as running:
            wanted = min(self.options.size // 2, 512) * MIB
            leech = running.add(EngineLeech(self.options, folder, torrent, "--stop-after", wanted))
            leech.begin()
            running.add(Helper(self.options, folder + "-crowd", "crowd", torrent, "--peers", 4, "--all-have-all",
                               "--dial", "%s:%d" % leech.address))
            done = leech.helper.wait("done")
            return {"started": leech.helper.event("started"), "done": done}

    def table(self, report):
        return by_case(report, self.name, ["parse", "start", "grown", "cpu", "speed"], "GiB")


class Slow(Dialled):
    name, title = "slow", "A slow disk"
    text = ("Download from four scripted peers in pieces of 256 KiB while each write takes that many milliseconds more. "
            "Two workers cannot be faster than their writes; memory must stay within its budget and processor time "
            "level.")
    plots = (("speed", "MiB/s by ms of delay of each write"), ("own", "peak memory, MiB, by ms of delay of each write"))
    cases = (0, 1, 2, 5, 10, 20)

    def run(self):
        mib = min(256, self.options.size)
        with self.scratch() as root:
            torrent = synthetic(self.options, root, mib * MIB, 256 * 1024)
            for ms in self.cases:
                folder = os.path.join(root, str(ms))
                r = self.attempt(f"{ms} ms", lambda: self.download(
                    EngineLeech, torrent, folder, 4, "--write-ms", ms))
                subprocess.run(["rm", "-rf", folder], check=True)
                if r:
                    self.say(f"{ms} ms: {r[1]:.2f} s, {r[2]} KiB")
                    self.add_usage(ms, Ours.name, mib, [r])

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "ms for each write")


class Delay(Part):
    name, title = "delay", "A line with delay"
    text = ("Download of half the size from one scripted seed, which takes any number of requests, through a process "
            "that holds all bytes for half of the given round-trip time, in milliseconds, in each direction. The "
            "system's TCP does not see the delay: what is measured is how deep each program's own pipeline is. The "
            "process in between needs a core of its own.")
    plots = (("speed", "MiB/s by round-trip time, ms"),)
    cases = (0, 10, 25, 50, 100)

    def run(self):
        mib = max(16, self.options.size // 2)
        clients = self.clients("ours", "libtorrent", "aria2")
        with self.scratch() as root:
            self.tracker = OnePeerTracker()
            torrent = synthetic(self.options, root, mib * MIB, 256 * 1024, self.tracker.url)
            self.options.folder = None
            for ms in self.cases:
                for client in clients:
                    folder = os.path.join(root, f"{ms}-{client.name}")
                    r = self.attempt(f"{ms} ms, {client.name}", lambda: self.once(client, torrent, folder, ms))
                    subprocess.run(["rm", "-rf", folder], check=True)
                    if r:
                        self.say(f"{ms} ms, {client.name}: {mib / r[1]:.0f} MiB/s")
                        self.add_usage(ms, client.name, mib, [r])

    def once(self, client_class, torrent, folder, ms):
        target = os.path.join(folder, "target")
        os.makedirs(target)
        with Running() as running:
            ip = ADDRESSES.own()
            seed = running.add(Helper(self.options, os.path.join(folder, "s"), "crowd", torrent, "--all-have-all",
                                      "--listen", f"{ip}:{ADDRESSES.port(ip)}"))
            ip = ADDRESSES.own()
            line = running.add(Helper(self.options, os.path.join(folder, "d"), "delay", "--listen",
                                      f"{ip}:{ADDRESSES.port(ip)}", "--target", "%s:%d" % seed.address, "--ms", ms / 2))
            self.tracker.seed = line.address
            client = running.add(client_class(self.options, os.path.join(folder, "c")))
            client.start()
            watch = Watch(client.process)
            client.fetch(torrent, target, line.address)
            # Looking for a peer is no part of it.
            began = seed.wait("served")["at"]
            until("the download", client.complete)
            return watch.used(client.process, time.time() - began)

    def table(self, report):
        return by_case(report, self.name, ["speed", "cpu", "own"], "round trip, ms")


class Torrents(Part):
    name, title = "torrents", "From 1 to 10,000 idle torrents"
    text = ("Torrents of 64 pieces that are complete and of which nobody wants anything: how long they take to load, "
            "what each adds to the memory (1.25 KiB of it are the hashes of its pieces) and what waiting takes. "
            "Of libtorrent it is seed mode, without alerts and trackers.")
    plots = (("load", "seconds to load idle torrents"), ("each", "KiB for each idle torrent"))
    cases = (1, 10, 100, 1000, 10_000)
    words = ()

    def run(self):
        for count in self.cases:
            with self.scratch() as root:
                r = self.attempt(f"{count}", lambda: helper_result(self.options, "torrents", count, root, *self.words))
            self.take(count, Ours.name, r)
            if not self.words and self.takes_part(Libtorrent):
                r = self.attempt(f"{count}, libtorrent", lambda: json.loads(subprocess.run(
                    [sys.executable, LIBTORRENT_HOLDS, str(count)], check=True, text=True, capture_output=True,
                    timeout=300).stdout))
                self.take(count, Libtorrent.name, r)

    def take(self, count, program, r):
        if not r:
            return
        self.say(f"{count}, {program}: {r}")
        self.report.add(self.name, count, program, "load", [r["load_seconds"]])
        self.report.add(self.name, count, program, "each", [r["grown_kib"] / count])
        self.report.add(self.name, count, program, "core", [r["idle_core"]])
        if "stop_seconds" in r:
            self.report.add(self.name, count, program, "stop", [r["stop_seconds"]])

    def table(self, report):
        return by_case(report, self.name, ["load", "each", "core", "stop"], "torrents")


class Restart(Torrents):
    name, title = "restart", "Restart with 1 to 10,000 torrents"
    text = ("The same torrents with a file each, on tmpfs, stopped in order and started again from their resume "
            "records: nothing is hashed.")
    plots = (("load", "seconds to start again"),)
    cases = (100, 1000, 10_000)
    words = ("--restart", "--idle", "1")

    def table(self, report):
        return by_case(report, self.name, ["load", "stop"], "torrents")
