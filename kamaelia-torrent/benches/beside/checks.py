"""Hashing beside other clients: checking what is there, and making a torrent."""
import os
import shutil
import sys
import time

from clients import Libtorrent, Ours
from course import Course
from part import Part
from process import Process, until
from report import by_program

LIBTORRENT_MAKES = """
import sys, libtorrent as lt
files = lt.file_storage()
lt.add_files(files, sys.argv[1])
torrent = lt.create_torrent(files, int(sys.argv[3]), lt.create_torrent.v1_only)
lt.set_piece_hashes(torrent, sys.argv[1].rsplit("/", 1)[0])
open(sys.argv[2], "wb").write(lt.bencode(torrent.generate()))
"""


class Hashing(Part):
    """What takes turns over one payload."""

    def take_turns(self, who, once):
        gib = self.options.size / 1024
        results = {name: [] for name in who}
        for run in range(self.options.runs):
            for name in who:
                got = self.attempt(f"run {run + 1}, {name}", lambda: once(who[name], f"{run}-{name}"))
                if got:
                    self.say(f"run {run + 1}, {name}: {got['wall']:.2f} s, {got['cpu']:.2f} CPU-s")
                    results[name].append(got)
        for name, got in results.items():
            for metric, value in (("rate", lambda r: gib / r["wall"]), ("cpu", lambda r: r["cpu"] / gib),
                                  ("own", lambda r: r["own"]), ("all", lambda r: r["all"])):
                self.report.add(self.name, "", name, metric, [value(r) for r in got])

    def table(self, report):
        return by_program(report, self.name, ["rate", "cpu", "own", "all"])


class Recheck(Hashing):
    name, title = "recheck", "Checking what is there"
    text = ("A file that is in the page cache is compared with its torrent: with ours by `check`, with the others by "
            "adding the torrent to the running program.")

    def run(self):
        with self.scratch() as root, Course(self.options, root, self.options.size) as course:
            def once(client_class, label):
                folder = os.path.join(root, label)
                client = client_class(self.options, folder)
                try:
                    client.start()
                    before = client.process.cpu() if client.process else 0
                    start = time.monotonic()
                    client.check(course.torrent, course.data)
                    until("the check", client.complete)
                    wall = time.monotonic() - start
                    p = client.process
                    return {"wall": wall, "cpu": p.cpu() - before, "own": p.peak_own, "all": p.peak_all}
                finally:
                    client.stop()
                    shutil.rmtree(folder, ignore_errors=True)
            self.take_turns({c.name: c for c in self.clients()}, once)


class Create(Hashing):
    name, title = "create", "Making a torrent"
    text = "The torrent of a file that is in the page cache, with pieces of 1 MiB."

    def run(self):
        with self.scratch() as root:
            path = os.path.join(root, "payload.bin")
            with open(path, "wb") as f:
                for _ in range(self.options.size):
                    f.write(os.urandom(1 << 20))
            piece = str(1 << 20)
            makers = {
                Ours.name: lambda out: [self.options.program, "make", path, "-o", out, "--piece-length", piece],
            }
            if self.takes_part(Libtorrent):
                makers[Libtorrent.name] = lambda out: [sys.executable, "-c", LIBTORRENT_MAKES, path, out, piece]
            if shutil.which("transmission-create"):
                makers["Transmission"] = lambda out: ["transmission-create", "-s", "1024", "-o", out, path]
            if shutil.which("mktorrent"):
                makers["mktorrent"] = lambda out: ["mktorrent", "-l", "20", "-o", out, path]

            def once(command, label):
                out = os.path.join(root, label + ".torrent")
                start = time.monotonic()
                process = Process(command(out), root)
                try:
                    code = until("the torrent", lambda: None if process.ended() is None else [process.ended()])[0]
                    if code:
                        raise RuntimeError(process.words())
                    return {"wall": time.monotonic() - start, "cpu": process.cpu(), "own": process.peak_own,
                            "all": process.peak_all}
                finally:
                    process.stop()
            self.take_turns(makers, once)
