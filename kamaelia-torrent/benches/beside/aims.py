"""What was aimed at, and what was reached: made of the figures, like the tables."""
from clients import Aria2, Libtorrent, Ours, Rtorrent
from report import lines

OURS = Ours.name


def ratio(part, metric, other):
    def of(report):
        mine, theirs = (report.median(part, "", program, metric) for program in (OURS, other))
        return mine / theirs if mine is not None and theirs else None
    return of


def against_fastest(part, metric):
    def of(report):
        mine = report.median(part, "", OURS, metric)
        others = [report.median(part, "", p, metric) for p in report.seen(part, "program") if p != OURS]
        others = [value for value in others if value]
        return mine / max(others) if mine is not None and others else None
    return of


def figure(part, case, metric, by=1.0, less=0.0):
    def of(report):
        value = report.median(part, case, OURS, metric)
        return None if value is None else value / by - less
    return of


def of_hash_speed(part):
    """Part of the speed at which all cores can hash."""
    def of(report):
        rate, floor = report.median(part, "", OURS, "rate"), report.median("profile", "hashing", "leech", "floor")
        cores = report.median("run", "", OURS, "cores")
        return rate * floor / cores if rate and floor and cores else None
    return of


# What, how it is found, how it is written, the aim, and whether more is better.
AIMS = [
    ("download, processor time: × libtorrent", ratio("download", "cpu", Libtorrent.name), "%.2f", 0.6, False),
    ("the same from rtorrent", ratio("another", "cpu", Libtorrent.name), "%.2f", 0.6, False),
    ("download, processor time: × aria2", ratio("download", "cpu", Aria2.name), "%.2f", 1.0, False),
    ("download, speed: × the fastest other", against_fastest("download", "speed"), "%.2f", 1.0, True),
    ("download, peak memory, MiB, with files", figure("download", "", "all", 1024), "%.0f", 24, False),
    ("seed, processor time: × libtorrent", ratio("seed", "cpu", Libtorrent.name), "%.2f", 0.3, False),
    ("seed, processor time: × rtorrent", ratio("seed", "cpu", Rtorrent.name), "%.2f", 1.0, False),
    ("first block, ms", figure("first", "", "first"), "%.0f", 50, False),
    ("check, part of the cores' SHA-1 speed", of_hash_speed("recheck"), "%.2f", 0.95, True),
    ("making, part of the cores' SHA-1 speed", of_hash_speed("create"), "%.2f", 0.95, True),
    ("10,000 torrents: loaded in s", figure("torrents", 10_000, "load"), "%.2f", 0.5, False),
    ("10,000 torrents: KiB each beyond 1.25 of hashes", figure("torrents", 10_000, "each", 1, 1.25), "%.1f", 4, False),
    ("10,000 torrents: of a core, idle", figure("torrents", 10_000, "core"), "%.3f", 0.02, False),
    ("10,000 torrents: started again in s", figure("restart", 10_000, "load"), "%.2f", 0.5, False),
]


def table(report):
    rows = []
    for what, find, form, aim, more in AIMS:
        value = find(report)
        if value is not None:
            met = value >= aim if more else value <= aim
            limit = ("at least " if more else "at most ") + "%g" % aim
            rows.append([what, form % value, limit, "yes" if met else "no"])
    return lines(["", "measured", "aim", "reached"], rows) if rows else []
