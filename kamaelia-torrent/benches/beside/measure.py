#!/usr/bin/env python3
"""Measures this program beside other BitTorrent clients, and how its figures grow, in one run over loopback.

    cargo build --release -p kamaelia-torrent --bin kamaelia-torrent --example engine_bench
    python3 kamaelia-torrent/benches/beside/measure.py                             # download and seed
    python3 kamaelia-torrent/benches/beside/measure.py --only peers,delay
    python3 kamaelia-torrent/benches/beside/measure.py --all --runs 3 --out docs/src/images

The last one measures everything, into the book, in half an hour.

Needs Python 3 with libtorrent (`pip install libtorrent`); aria2, rtorrent, Transmission, qBittorrent and rqbit take part
if they are installed. `.ci/install-clients` gets all of them. Linux only: processor time and memory are read from /proc.
The profile needs `perf` (else `valgrind`), the count of system calls `strace`.

The programs take turns (A B C A B C ...), so that whatever else the machine does hits all alike. Given are medians
with the smallest and the largest value. Processor time is user plus system time of the program's whole process tree
between the moment the transfer is asked for and its end (our program is started at that moment, the others run
already; aria2 looks for peers once a second); over loopback the sender is charged for much of what the
receiver's network stack does. Memory is the peak of resident memory that is not backed by files (RssAnon), and of all
of it. Every download of random data is compared with the payload by SHA-256.

With --out, torrent.csv and a plot for each curve are written into that folder (the rows of parts that were not measured
stay), and the tables and plots of docs/performance.md are made of them. --page makes them again without measuring.
"""
import argparse
import os
import signal
import subprocess
import sys
import time

import aims
from checks import Create, Recheck
from clients import TOP, Aria2, Libtorrent, Ours, Rtorrent
from clients_http import Qbittorrent, Rqbit, Transmission
from curves import Behind, Delay, Interested, Peers, Slow, Sparse
from many import Active, Addresses, Restart, Torrents, Trackers
from profile_parts import Calls, Profile
from report import Report, write_page
from transfers import Another, Disk, Download, Files, First, Pieces, Seed, Unchecked

CLIENTS = {"ours": Ours, "libtorrent": Libtorrent, "aria2": Aria2, "rtorrent": Rtorrent, "qbittorrent": Qbittorrent,
           "rqbit": Rqbit, "transmission": Transmission}
# In the order of the page. A further table is a class in this list.
PARTS = [Download, Another, Unchecked, Seed, First, Recheck, Create, Disk, Pieces, Files, Peers, Interested, Delay, Slow, Sparse,
         Torrents, Addresses, Trackers, Active, Restart, Behind, Profile, Calls]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ",".join(part.name for part in PARTS)
    parser.add_argument("--all", action="store_true", help="all parts: " + names)
    parser.add_argument("--only", metavar="PARTS", help="parts by name, joined by commas; download,seed if not given")
    parser.add_argument("--runs", type=int, default=5, help="of each transfer (5)")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the payload (1024)")
    parser.add_argument("--root", default="/dev/shm", help="folder on tmpfs to work in (/dev/shm)")
    parser.add_argument("--disk", default=os.path.join(TOP, "target"), help="folder on a disk (target)")
    parser.add_argument("--program", default=os.path.join(TOP, "target/release/kamaelia-torrent"))
    parser.add_argument("--helper", default=os.path.join(TOP, "target/release/examples/engine_bench"))
    parser.add_argument("--clients", default=",".join(CLIENTS), help="those that take part")
    parser.add_argument("--out", metavar="FOLDER", help="where torrent.csv and plots go; makes the page, too")
    parser.add_argument("--docs", default=os.path.join(TOP, "docs"), help="folder of the page")
    parser.add_argument("--page", action="store_true", help="only make plots and page of the results that are there")
    options = parser.parse_args()
    known = {part.name: part for part in PARTS}
    wanted = list(known) if options.all else (options.only or "download,seed").split(",")
    for what, given, possible in (("part", wanted, known), ("client", options.clients.split(","), CLIENTS)):
        for name in given:
            if name not in possible:
                parser.error(f"no {what} is called {name!r}: {', '.join(possible)}")
    if options.runs < 1 or options.size < 16:
        parser.error("at least 1 run and 16 MiB")
    options.parts = [part for part in PARTS if part.name in wanted]
    options.clients = {name: CLIENTS[name] for name in options.clients.split(",")}
    for program in (options.program, options.helper):
        if not options.page and not os.access(program, os.X_OK):
            parser.error(f"{program} is not there: build it as the first lines of this program say")
    return options


def versions(options):
    """What takes part, by program."""
    def first_line(*words):
        done = subprocess.run(words, text=True, capture_output=True, env={**os.environ, "HOME": "/nonexistent"})
        return (done.stdout + done.stderr).splitlines()[0].strip()

    import libtorrent
    words = {"aria2": ("aria2c", "--version"), "qbittorrent": ("qbittorrent-nox", "--version"),
             "rqbit": ("rqbit", "--version"), "transmission": ("transmission-daemon", "--version")}
    said = {Libtorrent.name: f"libtorrent {libtorrent.__version__}"}
    for name, client in options.clients.items():
        if name in words and client.installed:
            said[client.name] = first_line(*words[name])
    if "rtorrent" in options.clients and Rtorrent.installed:
        help_text = subprocess.run(["rtorrent", "-h"], text=True, capture_output=True).stdout
        said[Rtorrent.name] = help_text.splitlines()[0].rstrip(".")
    return said


def head(report):
    """What the page says before its tables."""
    cores, size, runs = (report.median("run", "", Ours.name, m) for m in ("cores", "size", "runs"))
    took_part = report.seen("took part", "case")
    text = ["A payload is %d MiB where nothing else is said. Given are medians, of %d runs unless there are fewer, with "
            "the smallest and the largest value where there are several; the programs take turns. The machine has %d "
            "cores. Memory is the peak of what is not backed by files." % (size, runs, cores)]
    if took_part:
        text += ["", "Took part: " + "; ".join(took_part) + "."]
    aimed = aims.table(report)
    return [*text, "", "### Aims", "", *aimed] if aimed else text


def main():
    options = arguments()
    report = Report()
    results = os.path.join(options.out or os.path.join(options.docs, "src/images"), "torrent.csv")
    keep = options.out or options.page
    if keep and os.path.exists(results):
        report.load(results)
    if not options.page:
        # So that the clients are ended when this is.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            said = versions(options)
        except ImportError:
            sys.exit("the other side of most transfers is libtorrent: pip install libtorrent")
        for name, client in options.clients.items():
            if not client.installed:
                print(f"{name} is not installed and does not take part")
        print(f"{'; '.join(said.values())}; {os.cpu_count()} cores; {options.size} MiB; {options.runs} runs")
        report.forget("run")
        for metric, value in (("cores", os.cpu_count()), ("size", options.size), ("runs", options.runs)):
            report.add("run", "", Ours.name, metric, [value])
        for program, line in said.items():
            # The tables of the others stay, so what is known of them does.
            report.forget("took part", program)
            report.add("took part", line, program, "version", [1])
        failed = []
        for part_class in options.parts:
            start = time.monotonic()
            part = part_class(options, report)
            report.forget(part.name)
            part.run()
            failed += part.failed
            print(f"\n{part.title} ({time.monotonic() - start:.0f} s)\n\n" + "\n".join(part.table(report)), flush=True)
            if options.out:
                # After each part: a run that is broken off has not been for nothing.
                os.makedirs(options.out, exist_ok=True)
                report.save(results)
    else:
        failed = []
    if keep:
        images = os.path.dirname(results)
        write_page(report, head(report), [part(options, report) for part in PARTS], images, options.docs)
    if failed:
        sys.exit("did not succeed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
