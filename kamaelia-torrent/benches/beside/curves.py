"""What becomes of the figures as something grows: peers, the size of a torrent, the delay of the line, that of the
disk. No curve may be worse than linear."""
import os
import subprocess
import time

from clients import Libtorrent, Ours
from course import OnePeerTracker, synthetic
from part import Helper, Part, Running, Watch
from process import ADDRESSES, until
from report import by_case, by_metric

MIB = 1 << 20


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


class Behind(Dialled):
    name, title = "behind", "Behind the components"
    text = ("A download from four scripted peers by the bare engine, and by the same engine behind TorrentPatron, "
            "service and TorrentClient, which tell their user of its status each second. What the components add is "
            "their own memory and nothing for each byte.")
    cases = (("the engine", ()), ("behind the components", ("--components",)))

    def run(self):
        mib = self.options.size
        with self.scratch() as root:
            torrent = synthetic(self.options, root, mib * MIB, 256 * 1024)
            results = {case: [] for case, _ in self.cases}
            for run in range(self.options.runs):
                for case, words in self.cases:
                    folder = os.path.join(root, f"{run}-{len(words)}")
                    r = self.attempt(case, lambda: self.download(EngineLeech, torrent, folder, 4, *words))
                    subprocess.run(["rm", "-rf", folder], check=True)
                    if r:
                        self.say(f"{case}: {r[1]:.2f} s, {r[0] / mib * 1024:.2f} CPU-s/GiB, {r[2]} KiB")
                        results[case].append(r)
            for case, got in results.items():
                self.add_usage(case, Ours.name, mib, got)

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "")


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
            "Two workers cannot be faster than their writes, so these get longer; memory must stay within its budget. "
            "Processor time rises: what had to wait has left the caches when it is copied, and what comes together "
            "are neighbours, not pieces to be hashed side by side.")
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
            "process in between needs a core of its own. Transmission, which does not dial, fetches 32 MiB "
            "from a seed that dials it.")
    plots = (("speed", "MiB/s by round-trip time, ms"),)
    cases = (0, 10, 25, 50, 100)

    def run(self):
        mib = max(16, self.options.size // 2)
        with self.scratch() as root:
            self.tracker = OnePeerTracker()
            self.options.folder = None
            # Those that get less to do get a torrent of their own.
            torrents = {size: synthetic(self.options, root, size * MIB, 256 * 1024, self.tracker.url)
                        for size in {self.size(c, mib) for c in self.clients()}}
            for ms in self.cases:
                for client in self.clients():
                    size, folder = self.size(client, mib), os.path.join(root, f"{ms}-{client.name}")
                    r = self.attempt(f"{ms} ms, {client.name}", lambda: self.once(client, torrents[size], folder, ms))
                    subprocess.run(["rm", "-rf", folder], check=True)
                    if r:
                        self.say(f"{ms} ms, {client.name}: {size / r[1]:.0f} MiB/s")
                        self.add_usage(ms, client.name, size, [r])

    @staticmethod
    def size(client_class, mib):
        """MiB that a client has to fetch: of one that takes a minute for a GiB, a quarter of its most."""
        return mib if client_class.most_mib >= 1024 else min(mib, client_class.most_mib // 4)

    def once(self, client_class, torrent, folder, ms):
        target = os.path.join(folder, "target")
        os.makedirs(target)
        words = ["crowd", torrent, "--all-have-all"]
        with Running() as running:
            client = running.add(client_class(self.options, os.path.join(folder, "c")))
            client.start()

            def line_to(address):
                ip = ADDRESSES.own()
                return running.add(Helper(self.options, os.path.join(folder, "d"), "delay", "--listen",
                                          f"{ip}:{ADDRESSES.port(ip)}", "--target", "%s:%d" % address, "--ms", ms / 2))

            def seed_that(*more):
                return running.add(Helper(self.options, os.path.join(folder, "s"), *words, *more))

            if client.dials:
                ip = ADDRESSES.own()
                seed = seed_that("--listen", f"{ip}:{ADDRESSES.port(ip)}")
                self.tracker.seed = line_to(seed.address).address
            else:
                line = line_to((client.ip, client.port)).address
                self.tracker.seed = None
            watch = Watch(client.process)
            client.fetch(torrent, target, self.tracker.seed)
            if not client.dials:
                seed = seed_that("--net", "127.79", "--peers", 1, "--dial", "%s:%d" % line)
            # Looking for a peer is no part of it.
            began = seed.wait("served")["at"]
            until("the download", client.complete)
            return watch.used(client.process, time.time() - began)

    def table(self, report):
        return by_metric(report, self.name, ["speed", "cpu", "own"], "round trip, ms")
