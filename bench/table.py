#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the tables of `kernels --json` and `peers.py --json`: one a precision, ns per instance, and the ratios.

    table.py FOLDER    the folder of bench/run.sh: ours.*.json and peers.*.json
"""
import argparse
import glob
import json
import math
import os

PEERS = ("eager", "jax", "compile", "casadi", "numpy")
TITLES = {"compile": "t.compile"}  # torch.compile
# The first ratio: our best form by its pointer, as an exported kernel or a solver's inner loop runs it. The second: the
# call that allocates its outputs, as most peers do.


def load(folder, kind):
    rows = {}
    for path in sorted(glob.glob(os.path.join(folder, kind + ".*.json")), key=os.path.getmtime):  # as they were run
        with open(path) as f:
            text = json.load(f)
        for row in text["rows"] if isinstance(text, dict) else text:
            rows[row["kernel"], row["precision"], row["threads"]] = row
    return rows


def cell(times, column, by):
    return "%.4g" % times[column][by] if column in times else "-"


def line(cells):
    print("%-12s %6s" % tuple(cells[:2]) + "".join(" %10s" % c for c in cells[2:]))


def mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan


def print_precision(ours, peers, precision, by):
    print("\nf%d, one thread, ns per instance (%s)" % (precision, "minimum" if by == 0 else "median"))
    titles = [TITLES.get(p, p) for p in PEERS]
    line(["kernel", "batch", "lanes", "one", "call"] + titles + ["best peer", "ratio", "call"])
    by_kernel, seen = {}, set()
    for (name, bits, threads), row in ours.items():
        if bits != precision or threads != 1:
            continue
        other = peers.get((name, bits, threads), {"batch": {}})["batch"]
        for batch, times in row.get("batch", {}).items():
            times = {**times, **other.get(batch, {})}
            known = [p for p in PEERS if p in times]
            seen.update(known)
            ratios = ["-", "-", "-"]
            if known:
                best = min(known, key=lambda p: times[p][by])
                ours_best = min(times[c][by] for c in ("lanes", "one"))
                ratio, call = times[best][by] / ours_best, times[best][by] / times["call"][by]
                ratios = [best, "%.2fx" % ratio, "%.2fx" % call]
                if not name.endswith(".hvp"):
                    by_kernel.setdefault(name, {})[batch] = (ratio, call)
            line([name, batch] + [cell(times, c, by) for c in ("lanes", "one", "call") + PEERS] + ratios)
    print("peers that ran: %s" % (", ".join(p for p in PEERS if p in seen) or "none"))
    for batches in (["1"], ["1024", "16384"]):
        # In two steps, so that every kernel counts once.
        of = [[r[b] for b in batches if b in r] for r in by_kernel.values()]
        pick = lambda k: mean([mean([r[k] for r in rs]) for rs in of if rs])
        losing = [n for n, r in by_kernel.items() for b in batches if b in r and r[b][0] < 1]
        print("geometric mean at batch %s: %.2fx the best peer (call: %.2fx); slower than a peer: %s"
              % (" and ".join(batches), pick(0), pick(1), ", ".join(dict.fromkeys(losing)) or "none"))


def print_compile(ours, peers):
    print("\ncompile, ms (first of the process, without the disk cache); HVP's cost over value+gradient, at batch 1024")
    line(["kernel", "f", "derive", "first", "first cpu", "cached", "jax", "compile", "casadi", "hvp"])
    for (name, bits, threads), row in ours.items():
        if threads != 1:
            continue
        theirs = peers.get((name, bits, threads), {}).get("compile_ms", {})
        hvp = "-"
        product = ours.get((name + ".hvp", bits, threads))
        if product and "1024" in row["batch"] and "1024" in product["batch"]:
            hvp = "%.2fx" % (product["batch"]["1024"]["lanes"][1] / row["batch"]["1024"]["lanes"][1])
        line([name, bits] + ["%.2f" % row[k] for k in ("derive_ms", "first_ms", "first_cpu_ms", "cached_ms")]
             + ["%.0f" % theirs[p] if p in theirs else "-" for p in ("jax", "compile", "casadi")] + [hvp])


def print_peak(ours):
    print("\nshare of the core's FMA peak, counting what is needed (quad: 2 n^2 + 4 n), median")
    line(["kernel", "batch", "f", "flop", "bytes", "Gflop/s", "peak", "share"])
    for (name, bits, threads), row in ours.items():
        for batch in row["batch"] if row["flop"] and threads == 1 else []:
            rate = row["flop"] / min(row["batch"][batch][c][1] for c in ("lanes", "one"))
            line([name, batch, bits, "%d" % row["flop"], row["bytes"], "%.1f" % rate, "%.0f" % row["peak_gflops"],
                  "%.0f %%" % (100 * rate / row["peak_gflops"])])


def print_threads(ours):
    rows = [(n, b, t, r) for (n, b, t), r in ours.items() if t > 1 and (n, b, 1) in ours]
    if rows:
        print("\nmore threads: `call`, median, speed-up over one thread")
        line(["kernel", "batch", "f", "threads", "ns", "speed-up"])
    for name, bits, threads, row in rows:
        for batch, times in row.get("batch", {}).items():
            alone = ours[name, bits, 1]["batch"].get(batch)
            if alone:
                ns = times["call"][1]
                line([name, batch, bits, threads, "%.4g" % ns, "%.2fx" % (alone["call"][1] / ns)])


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("folder")
    parse.add_argument("--by", choices=("min", "median"), default="median")
    parse.add_argument("--json", help="writes the merged figures to this file")
    options = parse.parse_args()
    ours, peers = load(options.folder, "ours"), load(options.folder, "peers")
    for precision in (64, 32):
        if any(bits == precision for _, bits, _ in ours):
            print_precision(ours, peers, precision, ("min", "median").index(options.by))
    print_compile(ours, peers)
    print_peak(ours)
    print_threads(ours)
    if options.json:
        merged = [{**row, "peers": peers.get(key)} for key, row in ours.items()]
        with open(options.json, "w") as out:
            json.dump(merged, out, indent=1)


if __name__ == "__main__":
    main()
