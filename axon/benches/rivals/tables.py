#!/usr/bin/env python3
"""Writes the tables of docs/performance.md from one or more runs: tables.py rivals.csv…

Of several runs a cell is the median of their medians, with the least of all in brackets.
"""
import csv, re, statistics, sys

cells, order, names = {}, [], []
for path in sys.argv[1:]:
    for row in csv.DictReader(open(path)):
        key = row["program"], row["executor"]
        cells.setdefault(key, []).append(row)
        if row["program"] not in order:
            order.append(row["program"])
        if row["executor"] not in names:
            names.append(row["executor"])

def number(n):
    return f"{n:,.0f}" if n >= 100 else f"{n:.1f}"

def cell(program, executor, least=True):
    rows = cells.get((program, executor))
    if not rows:
        return "–"
    text = number(statistics.median(float(r["median"]) for r in rows))
    if least and any(int(r["runs"]) > 1 for r in rows):
        text += f" ({number(min(float(r['least']) for r in rows))})"
    return text

grows = re.compile(r"^(\d+) (.*): (.*)$")
families = {}
rest = []
for program in order:
    if m := grows.match(program):
        sizes = families.setdefault(m[2], {})
        sizes.setdefault(int(m[1]), {})[m[3]] = cell(program, "Axon", least=False)
    else:
        rest.append(program)

last = ["crossbeam threads", "Python Axon", "bare loop"]
names = [n for n in names if n not in last] + [n for n in last if n in names]
print("| program | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
for program in rest:
    print(f"| {program} | " + " | ".join(cell(program, n) for n in names) + " |")
for family, sizes in families.items():
    columns = list(next(iter(sizes.values())))
    print(f"\n| {family} | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for size, values in sizes.items():
        print(f"| {size:,} | " + " | ".join(values.get(c, "–") for c in columns) + " |")
