"""What all parts of the measurement have in common."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from process import LIMIT, Process, until


class Part:
    """One table. A part says in `text` what was measured, and in `run` how."""

    name = title = text = ""
    # Metrics that are drawn over the cases: pairs of metric and title.
    plots = ()

    def __init__(self, options, report):
        self.options, self.report = options, report
        # What did not succeed.
        self.failed = []

    def run(self):
        raise NotImplementedError

    def table(self, report):
        raise NotImplementedError

    def say(self, text):
        print(f"  {self.name}: {text}", file=sys.stderr, flush=True)

    def scratch(self, root=None):
        """A folder that is removed when the block ends."""
        return Scratch(root or self.options.root)

    def clients(self, *names):
        """The clients that are installed and wanted, of those named or of all."""
        found = [c for key, c in self.options.clients.items() if not names or key in names]
        return [c for c in found if c.installed]

    def takes_part(self, client_class):
        """Whether a client is wanted."""
        return client_class in self.options.clients.values()

    def add_usage(self, case, program, mib, runs):
        """Enters what a transfer of so many MiB used in each run, as a Watch tells it."""
        for metric, value in (("cpu", lambda r: r[0] / mib * 1024), ("speed", lambda r: mib / r[1]),
                              ("own", lambda r: r[2])):
            self.report.add(self.name, case, program, metric, [value(r) for r in runs])

    def attempt(self, what, work):
        """The result of `work`, or None if a client did not manage: the others go on."""
        try:
            return work()
        except (RuntimeError, TimeoutError, OSError, subprocess.SubprocessError) as e:
            self.say(f"{what}: {e}")
            self.failed.append(f"{self.name}, {what}")
            return None


class Scratch:
    def __init__(self, root):
        self.path = tempfile.mkdtemp(prefix="beside", dir=root)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


class Running(contextlib.ExitStack):
    """Whatever was added to it is stopped when the block ends, the last first."""

    def add(self, thing):
        self.callback(thing.stop)
        return thing


class Watch:
    """What a process uses from now on."""

    def __init__(self, process):
        self.process, self.before, self.start = process, process.cpu() if process else 0, time.monotonic()

    def used(self, process=None, seconds=None):
        """Processor seconds, the time that passed unless it was measured elsewhere, peak of own memory in KiB."""
        process = process or self.process
        return process.cpu() - self.before, seconds or time.monotonic() - self.start, process.peak_own


class Helper:
    """The example program engine_bench with one of its commands, whose lines are read as they come."""

    def __init__(self, options, folder, *words):
        os.makedirs(folder, exist_ok=True)
        self.process = Process([options.helper, *(str(w) for w in words)], folder, stdin=subprocess.PIPE)

    def events(self):
        found = []
        for line in self.process.words().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
        return found

    def event(self, name):
        return next((e for e in self.events() if e.get("event") == name), None)

    def wait(self, name, limit=LIMIT):
        """The event of this name, once it has come."""
        return until(name, lambda: self.event(name), self.process, limit)

    @property
    def address(self):
        ip, port = self.wait("listening")["address"].rsplit(":", 1)
        return ip, int(port)

    def stop(self):
        self.process.stop()


def helper_result(options, *words, limit=600):
    """What a command of engine_bench prints that ends by itself."""
    done = subprocess.run([options.helper, *(str(w) for w in words)], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=limit)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])
