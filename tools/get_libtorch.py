#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the folder of LibTorch (with include/ and lib/), fetching it the first time.

$AMO_LIBTORCH names a LibTorch of one's own: an unpacked libtorch archive, or the torch folder of a
Python installation (the way to use a GPU build). Without it the C++ half of the CPU wheel is unpacked
into the user's cache folder; where the configured package index has no CPU build, $AMO_TORCH_INDEX names one that does.
"""
import fcntl
import glob
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "2.13.0"
LIBS = ("libtorch.so", "libtorch_cpu.so", "libc10.so")


def good(root):
    try:
        with open(os.path.join(root, "include/torch/headeronly/version.h")) as f:
            text = f.read()
    except OSError:
        return False
    parts = zip(("MAJOR", "MINOR", "PATCH"), VERSION.split("."))
    return all("TORCH_VERSION_%s %s\n" % p in text for p in parts) and all(
        os.path.exists(os.path.join(root, "lib", x)) for x in LIBS)


def wheel(folder):
    # C++ does not care for the wheel's Python version, so always take one and the same file.
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], capture_output=True).returncode:
        pip = [shutil.which("pip3") or shutil.which("pip") or sys.exit("pip is missing: apt-get install python3-pip")]
    pip += ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
            "--python-version=3.11", "--implementation=cp", "--abi=cp311",
            "--platform=manylinux_2_28_" + platform.machine(), "-d", folder]
    # "+cpu" keeps the CUDA wheel of the same number away.
    index = os.environ.get("AMO_TORCH_INDEX")
    for more in [[]] + ([["--index-url=" + index]] if index else []):
        r = subprocess.run(pip + more + ["torch==%s+cpu" % VERSION], stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
        found = glob.glob(os.path.join(folder, "*.whl"))
        if r.returncode == 0 and found:
            return found[0]
    sys.exit(r.stderr + "\nNo CPU wheel of torch %s found; set AMO_LIBTORCH to an unpacked LibTorch %s, or AMO_TORCH_INDEX to an index that has it." % (VERSION, VERSION))


def wanted(name):
    base = os.path.basename(name)
    if name.startswith("torch/lib/"):
        return name.count("/") == 2 and base in LIBS  # libgomp: the system's; libtorch_python: not needed
    return name.startswith("torch/include/") or base.startswith(("LICENSE", "NOTICE"))


def fetch(cache, root):
    tmp = tempfile.mkdtemp(prefix="tmp-", dir=cache)
    try:
        with zipfile.ZipFile(wheel(tmp)) as z:
            for name in filter(wanted, z.namelist()):
                z.extract(name, tmp)
        if not good(tmp + "/torch"):
            sys.exit("the wheel holds no LibTorch " + VERSION)
        for d in glob.glob(tmp + "/*.dist-info"):
            os.rename(d, tmp + "/torch/dist-info")  # the licences
        shutil.rmtree(root, ignore_errors=True)
        os.rename(tmp + "/torch", root)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def main():
    own = os.environ.get("AMO_LIBTORCH")
    if own:
        root = os.path.abspath(own)
        if not good(root):
            sys.exit("AMO_LIBTORCH=%s holds no LibTorch %s" % (own, VERSION))
    else:
        cache = os.environ.get("AMO_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "amo")
        root = os.path.join(cache, "libtorch-%s-cpu" % VERSION)
        if not good(root):
            os.makedirs(cache, exist_ok=True)
            with open(os.path.join(cache, "lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not good(root):
                    print("amo: fetching LibTorch %s (about 190 MB) into %s" % (VERSION, root), file=sys.stderr)
                    fetch(cache, root)
    print(root)


main()
