#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Peak memory of training through an inner problem (training/memory.amo), by implicit differentiation and unrolled.

Usage: bench/memory.py [STEPS ...]    inner steps, else 10 100 1000; needs a built `amo`
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))


def peak(variant, steps):
    """MiB resident at most, of the largest process that a training runs."""
    with tempfile.TemporaryDirectory() as folder:
        train = [os.path.join(HERE, "..", "amo"), "train", os.path.join(HERE, "training", "memory.amo"), "--set",
                 "inner=%d" % steps, "-o", os.path.join(folder, "m.amoz"), "--threads", "1"] + variant
        code = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
        done = subprocess.run([sys.executable, "-c", code] + train, check=True, capture_output=True, text=True)
        return int(done.stdout) / 1024


def main():
    if not all(a.isdigit() and int(a) > 0 for a in sys.argv[1:]):
        sys.exit("memory.py: inner steps are whole numbers from 1 on")
    counts = [int(a) for a in sys.argv[1:]] or [10, 100, 1000]
    print("%-12s" % "inner steps" + "".join("%10d" % n for n in counts))
    for name, variant in (("implicit", []), ("unrolled", ["--variant", "unrolled"])):
        sizes = [peak(variant, n) for n in counts]
        print("%-12s" % name + "".join("%6.0f MiB" % s for s in sizes) + "   last / first %.2f" % (sizes[-1] / sizes[0]))


main()
