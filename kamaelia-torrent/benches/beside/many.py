"""Many torrents: idle, with a tracker each, with addresses each, some of them active, and started again."""
import json
import os
import subprocess
import sys
import time

from clients import Libtorrent, Ours
from holding import HOLDS, hold, make_files
from part import Helper, Part, Running, Watch, helper_result
from process import Process
from report import by_case, by_metric

LIBTORRENT_HOLDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libtorrent_holds.py")
# Seconds that a client is given to load torrents. One that needed a tenth of it for a tenth of them is not asked.
LOAD_LIMIT = 60


class Torrents(Part):
    name, title = "torrents", "From 1 to 10,000 idle torrents"
    text = ("Torrents of 64 pieces that are complete and of which nobody wants anything: how long they take to load, "
            "what each adds to the memory (1.25 KiB of it are the hashes of its pieces) and what waiting takes. "
            "Ours is the engine, and libtorrent the library in seed mode, without alerts; the others are running "
            "programs that get each torrent by their own interface, which is most of the time of some, and have to "
            "look at its file, which is a hole. They get 100, 1,000 and 10,000 torrents, and %d seconds." % LOAD_LIMIT)
    plots = (("load", "seconds to load idle torrents"), ("each", "KiB for each idle torrent"))
    cases = (1, 10, 100, 1000, 10_000)
    words = ()

    def run(self):
        for count in self.cases:
            with self.scratch() as root:
                r = self.attempt(f"{count}", lambda: helper_result(self.options, "torrents", count, root, *self.words))
            self.take(count, Ours.name, r)
            if not self.words and self.takes_part(Libtorrent):
                r = self.attempt(f"{count}, libtorrent", lambda: libtorrent_result("idle", count))
                self.take(count, Libtorrent.name, r)
        if not self.words:
            self.run_others()

    def run_others(self):
        for client_class in HOLDS:
            if not client_class.installed or not self.takes_part(client_class.__bases__[0]):
                continue
            for count in (c for c in self.cases if c >= 100):
                with self.scratch() as root, Running() as running:
                    def once():
                        self.options.folder = None
                        client = running.add(client_class(self.options, os.path.join(root, "c")))
                        client.start()
                        return hold(client, root, count, LOAD_LIMIT, 5)
                    r = self.attempt(f"{count}, {client_class.name}", once)
                if r is not None and r["load_seconds"] > LOAD_LIMIT:
                    self.say(f"{count}, {client_class.name}: not within {LOAD_LIMIT} s")
                    self.report.add_over(self.name, count, client_class.name, "load", LOAD_LIMIT)
                    break
                self.take(count, client_class.name, r)

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
        return by_metric(report, self.name, ["load", "each", "core", "stop"], "torrents")


def libtorrent_result(*words):
    """What libtorrent_holds.py prints."""
    return json.loads(subprocess.run([sys.executable, LIBTORRENT_HOLDS, *(str(w) for w in words)], check=True,
                                     text=True, capture_output=True, timeout=300).stdout)


class Restart(Torrents):
    name, title = "restart", "Restart with 1 to 10,000 torrents"
    text = ("The same torrents with a file each, on tmpfs, stopped in order and started again from their resume "
            "records: nothing is hashed.")
    plots = (("load", "seconds to start again"),)
    cases = (100, 1000, 10_000)
    words = ("--restart", "--idle", "1")

    def table(self, report):
        return by_case(report, self.name, ["load", "stop"], "torrents")


class Trackers(Part):
    name, title = "trackers", "1,000 and 10,000 torrents with a tracker"
    text = ("The same torrents with one HTTP tracker, which is on loopback, knows nobody and wants to be asked each "
            "minute: what all that is asked and answered in the minute after loading takes, and what each torrent has "
            "added to the memory by its end. Each announce is a connection of its own.")
    cases = (1000, 10_000)
    idle = 60

    def run(self):
        for count in self.cases:
            for name in (Ours.name, *([Libtorrent.name] if self.takes_part(Libtorrent) else [])):
                r = self.attempt(f"{count}, {name}", lambda: self.once(name, count))
                if not r:
                    continue
                self.say(f"{count}, {name}: {r}")
                for metric, value in (("announces", r["announces"]), ("busy", r["idle_core"]),
                                      ("each", r["rested_kib"] / count),
                                      ("announce", r["idle_core"] * self.idle / max(1, r["announces"]))):
                    self.report.add(self.name, count, name, metric, [value])

    def once(self, name, count):
        with self.scratch() as root, Running() as running:
            tracker = running.add(Helper(self.options, os.path.join(root, "t"), "tracker", "--interval", 60))
            url = "http://%s:%d/announce" % tracker.address
            words = [count, root, "--idle", self.idle, "--tracker", url]
            if name == Ours.name:
                r = helper_result(self.options, "torrents", *words)
            else:
                r = libtorrent_result("idle", count, self.idle, url)
            time.sleep(1.1)
            r["announces"] = tracker.events()[-1]["count"]
            return r

    def table(self, report):
        return by_case(report, self.name, ["announces", "busy", "announce", "each"], "torrents")


class Addresses(Part):
    name, title = "addresses", "Torrents that know addresses"
    text = ("1,000 of the idle torrents, each of which was given that many addresses at which nobody listens: KiB that "
            "each torrent has added to the memory when all have started, and ten seconds later, when some were dialled.")
    cases = (0, 1, 10, 50, 200)
    count = 1000

    def run(self):
        for known in self.cases:
            for name in (Ours.name, *([Libtorrent.name] if self.takes_part(Libtorrent) else [])):
                r = self.attempt(f"{known}, {name}", lambda: self.once(name, known))
                if r:
                    self.say(f"{known}, {name}: {r}")
                    self.report.add(self.name, known, name, "each", [r["grown_kib"] / self.count])
                    self.report.add(self.name, known, name, "later", [r["rested_kib"] / self.count])

    def once(self, name, known):
        if name == Libtorrent.name:
            return libtorrent_result("idle", self.count, 10, "", known)
        with self.scratch() as root:
            return helper_result(self.options, "torrents", self.count, root, "--idle", 10, "--addresses", known)

    def table(self, report):
        return by_case(report, self.name, ["each", "later"], "addresses")


class Active(Part):
    name, title = "active", "1,000 active torrents of 10,000"
    text = ("1,000 torrents of 1 MiB with one scripted peer each, alone and among 9,000 that are idle. Seeding: the peers "
            "fetch 2 GiB in all, as fast as they get it. Downloading: they push 1 GiB. Ours is the engine, libtorrent "
            "the library. Memory is the peak, with what all torrents that were loaded need.")
    active = 1000

    def run(self):
        active = self.active if self.options.size >= 256 else 100
        for seed in (True, False):
            for count in (active, 10 * active):
                for name in (Ours.name, *([Libtorrent.name] if self.takes_part(Libtorrent) else [])):
                    case = f"{'seeding' if seed else 'downloading'}, {active:,} of {count:,}"
                    got = []
                    mib = active * 2 if seed else active
                    for _ in range(min(3, self.options.runs)):
                        r = self.attempt(f"{case}, {name}", lambda: self.once(name, seed, active, count, mib))
                        if r:
                            self.say(f"{case}, {name}: {r[1]:.2f} s, {r[0] / mib * 1024:.2f} CPU-s/GiB, {r[2]} KiB")
                            got.append(r)
                    self.add_usage(case, name, mib, got)

    def once(self, name, seed, active, count, mib):
        with self.scratch() as root, Running() as running:
            data, role = os.path.join(root, "data"), "--seed" if seed else "--leech"
            if name == Ours.name:
                side = running.add(Helper(self.options, os.path.join(root, "a"), "active", active, count, data, role))
            else:
                make_files(data, active if seed else 0)
                side = running.add(Script(os.path.join(root, "a"), "active", active, count, data, role))
            address = side.address
            watch = Watch(side.process)
            crowd = running.add(Helper(self.options, os.path.join(root, "c"), "crowd", "--torrents", active, "--peers",
                                       active, "--dial", "%s:%d" % address,
                                       *(["--fetch", mib << 20] if seed else ["--all-have-all"])))
            if seed:
                return watch.used(seconds=crowd.wait("fetched")["seconds"])
            side.wait("done")
            return watch.used()

    def table(self, report):
        return by_case(report, self.name, ["cpu", "speed", "own"], "")


class Script(Helper):
    """libtorrent_holds.py with one of its commands, whose lines are read as they come."""

    def __init__(self, folder, *words):
        os.makedirs(folder, exist_ok=True)
        self.process = Process([sys.executable, LIBTORRENT_HOLDS, *(str(w) for w in words)], folder,
                               stdin=subprocess.PIPE)
