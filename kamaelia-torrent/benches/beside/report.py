"""Results: CSV for programs, tables and plots for the book. Nobody types a figure."""
import csv
import math
import os
import re
import statistics

FIELDS = ["part", "case", "program", "metric", "median", "least", "greatest", "runs"]
# What a metric is called in a table, how it is written, and by what it is divided for that.
METRICS = {
    "cpu": ("CPU-s per GiB", "%.2f", 1),
    "speed": ("MiB/s", "%.0f", 1),
    "own": ("peak memory, MiB", "%.0f", 1024),
    "all": ("the same with files, MiB", "%.0f", 1024),
    "rate": ("GiB/s", "%.2f", 1),
    "first": ("to the first block, ms", "%.0f", 1),
    "parse": ("reading the .torrent, ms", "%.0f", 0.001),
    "start": ("until it has started, ms", "%.0f", 0.001),
    "grown": ("memory, MiB", "%.1f", 1024),
    "load": ("loaded in s", "%.2f", 1),
    "each": ("memory for each, KiB", "%.1f", 1),
    "core": ("of a core, idle", "%.4f", 1),
    "later": ("five seconds later, KiB", "%.1f", 1),
    "busy": ("of a core", "%.3f", 1),
    "announces": ("announces", "%.0f", 1),
    "announce": ("CPU-ms for each announce", "%.2f", 0.001),
    "stop": ("stopped in s", "%.2f", 1),
    "share": ("CPU-s per GiB", "%.2f", 1),
    "floor": ("floor", "%.2f", 1),
    "calls": ("system calls per GiB", "%.0f", 1),
}
COLOURS = ["#0b61a4", "#c1440e", "#2e7d32", "#6a1b9a", "#5d4037", "#00838f", "#ad1457", "#827717"]


class Report:
    """Rows by part, case, program and metric."""

    def __init__(self):
        self.rows = {}

    def add(self, part, case, program, metric, values):
        if values:
            self.rows[part, str(case), program, metric] = {
                "median": statistics.median(values), "least": min(values), "greatest": max(values),
                "runs": len(values)}

    def add_over(self, part, case, program, metric, limit):
        """Enters that something took longer than it was given: a row of no runs."""
        self.rows[part, str(case), program, metric] = {"median": limit, "least": limit, "greatest": limit, "runs": 0}

    def forget(self, part, program=None):
        """Drops the rows of a part, or those of one program in it."""
        self.rows = {key: row for key, row in self.rows.items()
                     if key[0] != part or program not in (None, key[2])}

    def cell(self, part, case, program, metric, spread=True):
        """A figure as it stands in a table, or a dash."""
        row = self.rows.get((part, str(case), program, metric))
        if row is None:
            return "–"
        _, form, by = METRICS[metric]
        text = form % (row["median"] / by)
        if row["runs"] == 0:
            return "over " + text
        if spread and row["runs"] > 1:
            text += " (%s to %s)" % (form % (row["least"] / by), form % (row["greatest"] / by))
        return text

    def median(self, part, case, program, metric):
        row = self.rows.get((part, str(case), program, metric))
        return row["median"] if row and row["runs"] else None

    def seen(self, part, field):
        """The cases, programs or metrics of a part, in the order in which they came."""
        at = FIELDS.index(field)
        return list(dict.fromkeys(key[at] for key in self.rows if key[0] == part))

    def load(self, path):
        with open(path, newline="") as f:
            for row in csv.DictReader(f):
                self.rows[tuple(row[field] for field in FIELDS[:4])] = {
                    "median": float(row["median"]), "least": float(row["least"]),
                    "greatest": float(row["greatest"]), "runs": int(row["runs"])}

    def save(self, path):
        with open(path, "w", newline="") as f:
            out = csv.writer(f, lineterminator="\n")
            out.writerow(FIELDS)
            for key, row in self.rows.items():
                out.writerow([*key, *("%.6g" % row[field] for field in FIELDS[4:7]), row["runs"]])


def lines(head, rows):
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]


def by_program(report, part, metrics, base="libtorrent"):
    """A row for each program, and how its processor time compares with that of `base`."""
    head = ["program", *(METRICS[m][0] for m in metrics)]
    with_ratio = "cpu" in metrics
    if with_ratio:
        head.append(f"× {base}, CPU")
    rows = []
    for program in report.seen(part, "program"):
        row = [program, *(report.cell(part, "", program, m) for m in metrics)]
        if with_ratio:
            one, other = (report.median(part, "", p, "cpu") for p in (program, base))
            row.append("%.2f" % (one / other) if one is not None and other else "–")
        rows.append(row)
    return lines(head, rows)


def by_case(report, part, metrics, case):
    """A row for each case, a column for each metric of each program."""
    programs = report.seen(part, "program")
    columns = [(p, m) for m in metrics for p in programs
               if any(report.median(part, c, p, m) is not None for c in report.seen(part, "case"))]
    names = [METRICS[m][0] + (f", {p}" if len(programs) > 1 else "") for p, m in columns]
    rows = []
    for at in report.seen(part, "case"):
        shown = f"{int(at):,}" if at.isdigit() else at
        rows.append([shown, *(report.cell(part, at, p, m) for p, m in columns)])
    return lines([case, *names], rows)


def by_metric(report, part, metrics, case):
    """A table for each metric, with a column for each program: for more programs than fit beside each other."""
    out = []
    for metric in metrics:
        programs = [p for p in report.seen(part, "program")
                    if any((part, c, p, metric) in report.rows for c in report.seen(part, "case"))]
        if programs:
            rows = [[f"{int(at):,}" if at.isdigit() else at, *(report.cell(part, at, p, metric) for p in programs)]
                    for at in report.seen(part, "case")]
            out += [*([""] if out else []), *lines([f"{METRICS[metric][0]}, by {case}", *programs], rows)]
    return out


def curve(report, part, metric, title):
    """The plot of a metric of all programs over the cases."""
    curves = []
    for program in report.seen(part, "program"):
        points = [(float(c), report.median(part, c, program, metric)) for c in report.seen(part, "case")
                  if report.median(part, c, program, metric) is not None]
        by = METRICS[metric][2]
        # What is nothing has no place on a logarithmic axis.
        points = [(x, y / by) for x, y in points if x > 0 and y > 0]
        if len(points) > 1:
            curves.append((program, points))
    return svg(title, curves) if curves else None


def svg(title, curves):
    """Both axes are logarithmic: what grows in proportion has a slope of one, what does not grow is level."""
    def decades(values):
        values = list(values)
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return low, max(high, low + 1)

    x0, x1 = decades(x for _, points in curves for x, _ in points)
    y0, y1 = decades(y for _, points in curves for _, y in points)

    def place_x(v):
        return 70 + (math.log10(v) - x0) / (x1 - x0) * 480

    def place_y(v):
        return 330 - (math.log10(v) - y0) / (y1 - y0) * 280

    def power(n):
        if 0 <= n <= 3:
            return str(10 ** n)
        return f'10<tspan dy="-5" font-size="9">{n}</tspan>'

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 380" font-family="sans-serif" font-size="12">',
           '<rect width="760" height="380" fill="white"/>',
           f'<text x="70" y="28" font-size="15">{title}</text>']
    for n in range(x0, x1 + 1):
        at = place_x(10.0 ** n)
        out.append(f'<path d="M{at:.1f} 50V330" stroke="#ddd"/>')
        out.append(f'<text x="{at:.1f}" y="348" text-anchor="middle">{power(n)}</text>')
    for n in range(y0, y1 + 1):
        at = place_y(10.0 ** n)
        out.append(f'<path d="M70 {at:.1f}H550" stroke="#ddd"/>')
        out.append(f'<text x="62" y="{at + 4:.1f}" text-anchor="end">{power(n)}</text>')
    for i, (name, points) in enumerate(curves):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        out.append(f'<text x="565" y="{60 + 20 * i}" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def put(path, mark, text):
    """Replaces what stands between two marks of a page."""
    with open(path) as f:
        page = f.read()
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if not pattern.search(page):
        raise SystemExit(f"{path} has no place for figures: it lacks {begin} and {end}")
    page = pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)
    with open(path, "w") as f:
        f.write(page)


def write_page(report, head, parts, images, docs):
    """Writes plots into `images`, and `head`, tables and plots into the pages of the folder `docs`."""
    text, plots = [*head, ""], []
    for part in parts:
        if not report.seen(part.name, "case"):
            continue
        text += [f"### {part.title}", "", part.text, "", *part.table(report), ""]
        for metric, title in part.plots:
            picture = curve(report, part.name, metric, title)
            if picture:
                name = f"torrent-{part.name}-{metric}.svg"
                with open(os.path.join(images, name), "w") as f:
                    f.write(picture)
                plots.append((title, name))
    put(os.path.join(docs, "performance.md"), "measured", "\n" + "\n".join(text).rstrip() + "\n")
    for page, prefix in (("performance.md", "src/images"), ("src/performance.md", "images")):
        images_of = "\n\n".join(f"![{title}]({prefix}/{name})" for title, name in plots)
        put(os.path.join(docs, page), "torrent plots", "\n" + images_of + "\n")
