"""Whole transfers beside other clients: download, seed, sizes of pieces, many files, a real disk, the first block."""
import os
import time

from clients import Libtorrent, Rtorrent, UncheckedLibtorrent
from course import Course, OnePeerTracker, synthetic
from part import Helper, Part, Running
from process import ADDRESSES
from report import by_case, by_program

TRANSFER = ["cpu", "speed", "own", "all"]


class Transfers(Part):
    """Transfers of which one side is measured."""

    side = "leech"

    def pair(self, client):
        """Seed and leech."""
        return (Libtorrent, client) if self.side == "leech" else (client, Libtorrent)

    def take_turns(self, course, clients, runs, case="", target_root=None):
        """Transfers with all clients, in turns, so that whatever else the machine does hits all alike."""
        gib = course.mib / 1024
        results = {client: [] for client in clients}
        for run in range(runs):
            for client in clients:
                if run >= client.most_runs:
                    continue
                r = self.attempt(f"run {run + 1}, {client.name}",
                                 lambda: course.transfer(*self.pair(client), target_root=target_root))
                if r is None:
                    continue
                self.say(f"{case} run {run + 1}, {client.name}: {r['wall']:.2f} s, "
                         f"{r[self.side]['cpu'] / gib:.2f} CPU-s/GiB")
                results[client].append(r)
        for client, got in results.items():
            for metric, value in (("cpu", lambda r: r[self.side]["cpu"] / gib),
                                  ("speed", lambda r: course.mib / r["wall"]),
                                  ("own", lambda r: r[self.side]["own"]), ("all", lambda r: r[self.side]["all"])):
                self.report.add(self.name, case, client.name, metric, [value(r) for r in got])

    def run(self, runs=None, target_root=None):
        fast = [c for c in self.clients() if c.most_mib >= self.options.size]
        slow = [c for c in self.clients() if c not in fast]
        for clients, mib in ((fast, self.options.size), (slow, min((c.most_mib for c in slow), default=0))):
            if clients:
                with self.scratch() as root, Course(self.options, root, mib) as course:
                    self.take_turns(course, clients, runs or self.options.runs, target_root=target_root)

    def table(self, report):
        return by_program(report, self.name, TRANSFER)


class Download(Transfers):
    name, title = "download", "Download"
    text = ("Each program in turn downloads one file of random bytes on tmpfs from the same kind of seed, libtorrent, "
            "over plain TCP on loopback. Transmission, which is bound by its ticks, gets 128 MiB "
            "and one run.")


class Another(Transfers):
    name, title = "another", "Download from another seed"
    text = ("As in the first table, but from rtorrent, which is faster than libtorrent and sends the blocks in the order "
            "in which they are asked for.")

    def pair(self, client):
        return Rtorrent, client

    def run(self):
        with self.scratch() as root, Course(self.options, root, self.options.size) as course:
            self.take_turns(course, self.clients("ours", "libtorrent", "rtorrent"), self.options.runs)


class Unchecked(Another):
    name, title = "unchecked", "Download from a seed that checks as it goes"
    text = ("As in the first table, but the seed was told that it has everything and checks each piece when it is first "
            "asked for it (libtorrent's seed mode). Whatever the order of the requests, it sends piece by piece then: pieces "
            "cannot be hashed side by side.")

    def pair(self, client):
        return UncheckedLibtorrent, client

    def run(self):
        with self.scratch() as root, Course(self.options, root, self.options.size) as course:
            self.take_turns(course, self.clients("ours", "libtorrent"), self.options.runs)


class Seed(Transfers):
    name, title, side = "seed", "Seed", "seed"
    text = "The same kind of leech, libtorrent, downloads the file from each program in turn."


class Disk(Transfers):
    name, title = "disk", "Download to a disk"
    text = ("As in the first table, but the download goes to a file system on a disk. It says when the data is with "
            "the system, not when it is on the medium.")

    def run(self):
        with self.scratch(self.options.disk) as target:
            super().run(min(2, self.options.runs), target)


class Pieces(Transfers):
    name, title = "pieces", "Sizes of pieces"
    text = "Downloads of a file of half the size, from libtorrent, with pieces of different sizes in KiB."
    plots = (("cpu", "processor seconds per GiB by size of pieces, KiB"),)

    def run(self):
        for kib in (16, 256, 1024, 16384):
            with self.scratch() as root, Course(self.options, root, self.options.size // 2, kib) as course:
                self.take_turns(course, self.clients("ours", "libtorrent", "aria2"), min(3, self.options.runs), kib)

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "pieces, KiB")


class Files(Transfers):
    name, title = "files", "Many files"
    text = "Download of 5,000 files of 64 KiB each, from libtorrent."

    def run(self):
        count = 5000 if self.options.size >= 256 else 500
        with self.scratch() as root, Course(self.options, root, count * 64 // 1024, files=count) as course:
            self.take_turns(course, self.clients(), min(2, self.options.runs))


class First(Part):
    name, title = "first", "Time to the first block"
    text = ("From the moment the torrent is given to a program (to ours: from the start of its process) until a scripted "
            "seed on loopback has sent the first block it was asked for. Only Transmission has to be dialled by the seed.")

    def run(self):
        with self.scratch() as root:
            self.tracker = OnePeerTracker()
            torrent = synthetic(self.options, root, 1 << 24, 1 << 18, self.tracker.url)
            results = {client: [] for client in self.clients()}
            for run in range(self.options.runs):
                for client in self.clients():
                    if run >= client.most_runs:
                        continue
                    folder = os.path.join(root, f"{run}-{client.name}")
                    got = self.attempt(client.name, lambda: self.once(client, torrent, folder))
                    if got is not None:
                        self.say(f"{client.name}: {got:.0f} ms")
                        results[client].append(got)
            for client, values in results.items():
                self.report.add(self.name, "", client.name, "first", values)

    def once(self, client_class, torrent, folder):
        os.makedirs(os.path.join(folder, "target"))
        self.options.folder = None
        words = ["crowd", torrent, "--all-have-all"]
        with Running() as running:
            client = running.add(client_class(self.options, os.path.join(folder, "c")))
            client.start()
            ip = ADDRESSES.own()
            address = (ip, ADDRESSES.port(ip))
            where = os.path.join(folder, "s")
            if client.dials:
                seed = running.add(Helper(self.options, where, *words, "--listen", "%s:%d" % address))
                seed.wait("listening")
            self.tracker.seed = address
            start = time.time()
            client.fetch(torrent, os.path.join(folder, "target"), address)
            if not client.dials:
                seed = running.add(Helper(self.options, where, *words, "--net", "127.79", "--peers", "1", "--dial",
                                          f"{client.ip}:{client.port}"))
            return (seed.wait("served", 30)["at"] - start) * 1000

    def table(self, report):
        return by_program(report, self.name, ["first"])
