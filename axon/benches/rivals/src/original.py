"""The measured programs on the original Axon. Prints the nanoseconds of one message, or of one component.

usage: python3 original.py PROGRAM SIZE MESSAGES
"""
import sys
import time

from Axon.Component import component
from Axon.Scheduler import scheduler

BURST = 256


class Source(component):
    def __init__(self, messages):
        super(Source, self).__init__()
        self.messages = messages

    def main(self):
        for i in range(self.messages):
            self.send(i, "outbox")
            if i % BURST == BURST - 1:
                yield 1
        yield 1


class Relay(component):
    def __init__(self, messages):
        super(Relay, self).__init__()
        self.messages = messages

    def main(self):
        left = self.messages
        while left > 0:
            while left > 0 and self.dataReady("inbox"):
                self.send(self.recv("inbox") + 1, "outbox")
                left -= 1
            if left > 0:
                self.pause()
            yield 1


class Sink(Relay):
    def main(self):
        left = self.messages
        while left > 0:
            while self.dataReady("inbox"):
                self.recv("inbox")
                left -= 1
            if left > 0:
                self.pause()
            yield 1


class Holder(component):
    """Owns the links; goes when it is told that all is set up."""

    def main(self):
        yield 1


def pipeline(relays, messages):
    parts = [Source(messages)] + [Relay(messages) for _ in range(relays)] + [Sink(messages)]
    holder = Holder()
    for a, b in zip(parts, parts[1:]):
        holder.link((a, "outbox"), (b, "inbox"))
    return parts, (relays + 1) * messages


def ring(nodes, messages):
    parts = [Relay(messages // nodes) for _ in range(nodes)]
    holder = Holder()
    for i in range(nodes):
        holder.link((parts[i], "outbox"), (parts[(i + 1) % nodes], "inbox"))
    parts[0]._deliver(0, "inbox")
    return parts, messages


def fan_in(producers, messages):
    sink = Sink(producers * (messages // producers))
    parts = [sink] + [Source(messages // producers) for _ in range(producers)]
    holder = Holder()
    for p in parts[1:]:
        holder.link((p, "outbox"), (sink, "inbox"))
    return parts, messages


def made(count, _):
    return [Holder() for _ in range(count)], count


def main():
    name, size, messages = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    start = time.perf_counter()
    parts, per = {"pipeline": pipeline, "ring": ring, "fan_in": fan_in, "made": made}[name](size, messages)
    for p in parts:
        p.activate()
    scheduler.run.runThreads()
    print((time.perf_counter() - start) * 1e9 / per)


main()
