"""Processes whose processor time and memory are watched, and addresses for them. Linux only: all is read from /proc."""
import os
import random
import signal
import socket
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
# The longest a transfer may take, seconds.
LIMIT = 600


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
    """A child process. It writes into a log unless `stdout` says otherwise."""

    def __init__(self, argv, folder, stdin=subprocess.DEVNULL, stdout=None, env=None):
        self.log = os.path.join(folder, "log")
        variables = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        variables.update(env or {})
        self.began = time.time()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(argv, cwd=folder, stdin=stdin, stdout=stdout or log, stderr=log,
                                          env=variables, start_new_session=True)
        self.usage = None
        # KiB: all resident memory, and what of it is not backed by files.
        self.peak_all = self.peak_own = 0
        # Processor seconds by the name of the thread.
        self.threads = {}
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

    def look_at_threads(self):
        """Keeps what each thread has used so far; those that ended stay as they were."""
        for task in os.listdir(f"/proc/{self.child.pid}/task"):
            try:
                with open(f"/proc/{self.child.pid}/task/{task}/stat") as f:
                    head, fields = f.read().rsplit(")", 1)
                name = head.split("(", 1)[1]
                self.threads[task] = (name, sum(int(x) for x in fields.split()[11:13]) / TICKS)
            except OSError:
                pass

    def cpu(self):
        """Seconds of processor time of the whole tree so far."""
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
            return f.read()

    def stop(self):
        self.over.set()
        if self.ended() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            while self.ended() is None:
                time.sleep(0.01)
        for pipe in (self.child.stdin, self.child.stdout):
            if pipe:
                pipe.close()


def until(what, ready, process=None, limit=LIMIT):
    """Asks `ready` until it says yes; its answer."""
    end = time.monotonic() + limit
    while not (answer := ready()):
        if process is not None and process.ended() is not None:
            # It may have said so with its last words.
            if answer := ready():
                return answer
            raise RuntimeError(f"ended while waiting for {what}: {process.words()[-2000:]}")
        if time.monotonic() > end:
            raise TimeoutError(f"waited in vain for {what}: {process.words()[-2000:] if process else ''}")
        time.sleep(0.01)
    return answer


def listens(ip, port):
    try:
        socket.create_connection((ip, port), 0.2).close()
        return True
    except OSError:
        return False


def greets(ip, port, info_hash):
    """Whether a client answers the handshake of a peer."""
    try:
        with socket.create_connection((ip, port), 1) as s:
            s.settimeout(1)
            s.sendall(b"\x13BitTorrent protocol" + bytes(8) + bytes.fromhex(info_hash) + os.urandom(20))
            return len(s.recv(1)) == 1
    except OSError:
        return False


class Addresses:
    """Addresses of 127.0.0.0/8, each used once, and free ports on them."""

    def __init__(self):
        self.used = 0
        self.net = 120 + random.randrange(130)

    def own(self):
        self.used += 1
        return f"127.{self.net}.{self.used // 250}.{2 + self.used % 250}"

    @staticmethod
    def port(ip):
        with socket.socket() as s:
            s.bind((ip, 0))
            return s.getsockname()[1]


ADDRESSES = Addresses()
