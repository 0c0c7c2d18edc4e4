"""Where each processor second of a transfer goes, against the floor: what nobody can leave out."""
import collections
import os
import re
import shutil
import signal
import subprocess
import time

from clients import Ours
from course import Course
from part import Part, helper_result
from report import METRICS, lines

# What a sample in the kernel was for: the first of these whose words stand in its stack.
KERNEL = [
    ("sending", r"tcp_sendmsg|sock_sendmsg|sock_write_iter|__sys_send"),
    ("receiving", r"tcp_recvmsg|sock_recvmsg|sock_read_iter|__sys_recv"),
    ("waking and waiting", r"do_futex|epoll|eventfd|do_poll|sched_yield"),
    ("reading files", r"\b(do_preadv|vfs_readv?|ksys_pread64|filemap_read)\b"),
    ("writing files", r"\b(do_pwritev|vfs_writev?|ksys_pwrite64|vfs_fsync_range|vfs_fallocate|do_truncate)\b"),
    ("opening files", r"openat|do_sys_open|vfs_open|__x64_sys_close|statx|newfstat"),
    ("start and end", r"execve|load_elf|exit_mm|do_exit|kernel_clone|do_group_exit"),
    ("memory", r"exc_page_fault|mmap|munmap|madvise|brk|mprotect"),
    ("waking and waiting", r"schedule"),
]
# The same for a sample outside the kernel, by the function it was in.
OWN = [
    ("hashing", r"sha1|Sha1|disk::sha"),
    ("copying", r"memcpy|memmove|memset|copy_from_slice"),
    ("allocation", r"malloc|free|realloc|calloc|_int_|alloc::|unlink_chunk|arena"),
    ("channels and locks", r"crossbeam|std::sync|park|futex|[Ww]aker|mpsc|pthread_mutex|^syscall"),
    ("disk workers' own", r"kamaelia_torrent::disk"),
    ("protocol", r"kamaelia_torrent::(proto|engine|net)|mio::|BTree|hashbrown|HashMap|slab"),
    ("start and end", r"ld-linux|_dl_|do_lookup|clap"),
    ("program", r"kamaelia_torrent|axon|serde|core::fmt|alloc"),
]
# Which floor belongs to which category, as engine_bench names it.
FLOORS = {"leech": {"receiving": "receive", "hashing": "hash", "writing files": "write_new"},
          "seed": {"sending": "send", "reading files": "read"}}
CALLS = 12


def category(frames):
    """What a stack, innermost function first, was for."""
    # A tick of the clock says nothing about what it interrupted.
    at = next((i for i, frame in enumerate(frames) if frame.startswith("asm_sysvec")), None)
    if at is not None:
        frames = frames[at + 1:]
    stack = "\n".join(frames)
    # The kernel's entry stands in every stack that was in it.
    if re.search(r"entry_SYSCALL|asm_|do_syscall_64", stack):
        table, text = KERNEL, stack
    else:
        table, text = OWN, frames[0] if frames else ""
    return next((name for name, words in table if re.search(words, text)), "other")


def shares(data):
    """Samples by category and by thread, of what perf recorded."""
    text = subprocess.run(["perf", "script", "--no-inline", "-i", data, "-F", "comm,ip,sym"], text=True,
                          capture_output=True, errors="replace").stdout
    by_category, by_thread = collections.Counter(), collections.Counter()
    for sample in text.split("\n\n"):
        head, *rest = sample.strip("\n").split("\n")
        if not rest:
            continue
        frames = [line.split(None, 1)[1] if len(line.split(None, 1)) > 1 else "" for line in rest]
        by_category[category(frames)] += 1
        by_thread[head.strip()] += 1
    return by_category, by_thread


class Profiled(Ours):
    """Our program beneath a tool that watches it: a leech from its start, a seed from when it serves."""

    # The tool's words, with OUT for its file.
    tool = ()
    watcher = None

    def words(self, what):
        out = os.path.join(self.options.watched, what)
        return [word.replace("OUT", out) for word in self.tool]

    def serve(self, torrent, data):
        super().serve(torrent, data)
        if self.attach:
            words = [*self.words("seed"), *self.attach, str(self.process.child.pid)]
            self.watcher = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
            # It says nothing when it is ready.
            time.sleep(1)

    def fetch(self, torrent, data, seed):
        script = os.path.join(self.folder, "watched")
        with open(script, "w") as f:
            words = " ".join(f"'{word}'" for word in [*self.words("get"), self.options.program])
            f.write(f'#!/bin/sh\nexec {words} "$@"\n')
        os.chmod(script, 0o755)
        program, self.options.program = self.options.program, script
        try:
            super().fetch(torrent, data, seed)
        finally:
            self.options.program = program

    def stop(self):
        if self.watcher is not None:
            # In order, or it would not write what it saw.
            self.watcher.send_signal(signal.SIGINT)
            self.watcher.wait(20)
            self.watcher = None
        super().stop()


class Perf(Profiled):
    tool = ("perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-o", "OUT.perf")
    attach = ("-p",)


class Strace(Profiled):
    tool = ("strace", "-c", "-f", "-U", "calls,name", "-o", "OUT.strace")
    attach = ("-p",)


class Callgrind(Profiled):
    tool = ("valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=OUT.callgrind")
    attach = ()


class Profile(Part):
    name, title = "profile", "Where the processor time goes"
    text = ("A download from one of our seeds, both sides watched by `perf` (2,000 samples a second and core; without "
            "hardware counters, by the clock). Of a sample in the kernel the system call counts, of another the "
            "function. The floor is what engine_bench measures for the same work alone: one thread, 256 KiB at a time, "
            "new pages, SHA-1 by the crate `sha1`. Over loopback the sender pays for most of what the receiver's network stack does.")

    def run(self):
        mib = self.options.size
        with self.scratch() as root:
            self.options.watched = root
            with Course(self.options, os.path.join(root, "course"), mib) as course:
                plain = course.transfer(Ours, Ours)
                if shutil.which("perf"):
                    course.transfer(Perf, Perf)
            if not shutil.which("perf"):
                return self.run_callgrind(root)
            floor = helper_result(self.options, "floor", root)
            for side, what in (("leech", "get"), ("seed", "seed")):
                by_category, by_thread = shares(os.path.join(root, what + ".perf"))
                total = sum(by_category.values())
                if not total:
                    raise SystemExit("perf saw nothing: is it allowed to?")
                cpu = plain[side]["cpu"] / mib * 1024
                for name, count in by_category.most_common():
                    self.report.add(self.name, name, side, "share", [count / total * cpu])
                    if name in FLOORS[side]:
                        self.report.add(self.name, name, side, "floor", [floor[FLOORS[side][name]]])
                for name, count in by_thread.most_common(6):
                    self.report.add(self.name, "thread " + name, side, "share", [count / total * cpu])
                self.report.add(self.name, "all", side, "share", [cpu])
                self.report.add(self.name, "all", side, "floor", [sum(floor[f] for f in FLOORS[side].values())])

    def run_callgrind(self, root):
        """Instructions instead of time, and none of the kernel's: shares only."""
        if not shutil.which("valgrind"):
            self.say("neither perf nor valgrind is installed")
            return
        mib = min(64, self.options.size)
        with Course(self.options, os.path.join(root, "course"), mib) as course:
            watched = course.transfer(Ours, Callgrind)
        text = subprocess.run(["callgrind_annotate", "--threshold=100", os.path.join(root, "get.callgrind")], text=True,
                              capture_output=True).stdout
        counts = collections.Counter()
        for number, function in re.findall(r"^\s*([\d,]+) \(.*?\)\s+\S*?:(.*)$", text, re.M):
            counts[category([function])] += int(number.replace(",", ""))
        total = sum(counts.values()) or 1
        for name, count in counts.most_common():
            self.report.add(self.name, name, "leech", "share", [count / total * watched["leech"]["cpu"] / mib * 1024])

    def table(self, report):
        cases = report.seen(self.name, "case")
        head = ["", "leech, " + METRICS["share"][0], "floor", "seed, " + METRICS["share"][0], "floor"]
        order = [c for c in cases if not c.startswith("thread ") and c != "all"]
        order += ["all"] + [c for c in cases if c.startswith("thread ")]
        return lines(head, [[case, *(report.cell(self.name, case, side, metric) for side in ("leech", "seed")
                                     for metric in ("share", "floor"))] for case in order])


class Calls(Part):
    name, title = "calls", "System calls"
    text = "The system calls of such a download of a quarter of the size, counted by `strace`, for each GiB."

    def run(self):
        if not shutil.which("strace"):
            self.say("strace is not installed")
            return
        mib = max(64, self.options.size // 4)
        with self.scratch() as root:
            self.options.watched = root
            with Course(self.options, os.path.join(root, "course"), mib) as course:
                course.transfer(Strace, Strace)
            for side, what in (("leech", "get"), ("seed", "seed")):
                with open(os.path.join(root, what + ".strace")) as f:
                    counts = [(int(n), name) for n, name in re.findall(r"^\s*(\d+)\s+(\w+)\s*$", f.read(), re.M)
                              if name != "total"]
                for count, name in sorted(counts, reverse=True)[:CALLS]:
                    self.report.add(self.name, name, side, "calls", [count / mib * 1024])

    def table(self, report):
        head = ["call", "leech", "seed"]
        return lines(head, [[f"`{case}`", *(report.cell(self.name, case, side, "calls") for side in ("leech", "seed"))]
                            for case in report.seen(self.name, "case")])
