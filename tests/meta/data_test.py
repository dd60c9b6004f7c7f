# SPDX-License-Identifier: Apache-2.0
"""tools/fetch_data.py with made-up packages: good ones are unpacked once, wrong ones leave nothing behind."""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(sys.argv[1], "tools"))
import fetch_data  # noqa: E402

failures = []
fetched = []


def expect(what, ok):
    if not ok:
        failures.append(what)


def tgz(package, folder):
    fetched.append(package)
    with tarfile.open(os.path.join(folder, "p.tgz"), "w:gz") as t:
        for name, data in (("package/a", b"abc"), ("package/d.gz", gzip.compress(b"1,2,7\n3,4,8\n", mtime=0))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return [os.path.join(folder, "p.tgz")]


def entry(member="package/a", data=b"abc", **more):
    return {"from": "npm", "package": "p", "version": "1", "files": {
        "f": {"member": member, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more}}}


def call(entry_, cache):
    """(exit message or None, folder's content or None) of one run."""
    with open(cache + "/m.json", "w") as f:
        json.dump({"s": entry_}, f)
    fetch_data.MANIFEST, sys.argv = cache + "/m.json", ["fetch_data.py", "s"]
    error = None
    try:
        fetch_data.main()
    except SystemExit as e:
        error = str(e)
    path = cache + "/data/s/f"
    return error, open(path, "rb").read() if os.path.exists(path) else None


fetch_data.CLIENTS = {"npm": (tgz, "@")}
with tempfile.TemporaryDirectory() as tmp:
    os.environ["AMO_CACHE"] = tmp
    error, got = call(entry(data=b"abd"), tmp)
    expect("a wrong checksum is an error that names the set", error and "`s`" in error and "sha256" in error)
    expect("and leaves no set", got is None)
    error, got = call(entry(member="package/b"), tmp)
    expect("a file the package lacks is an error", error and "package/b" in error and got is None)
    expect("nothing temporary stays", not [n for n in os.listdir(tmp + "/data") if n.startswith("tmp-")])
    expect("a good package", call(entry(), tmp) == (None, b"abc"))
    expect("asked for by version", fetched[-1] == "p@1")
    before = len(fetched)
    expect("a second run", call(entry(), tmp) == (None, b"abc") and len(fetched) == before)
    with open(tmp + "/data/s/f", "wb") as f:
        f.write(b"abx")
    expect("a damaged file is fetched again", call(entry(), tmp) == (None, b"abc") and len(fetched) == before + 1)
    npz = fetch_data.labelled_csv_gz(gzip.compress(b"1,2,7\n3,4,8\n"))
    expect("a conversion", call(entry("package/d.gz", npz, convert="labelled_csv_gz"), tmp) == (None, npz))
    expect("labels last", b"\x07" + b"\0" * 7 + b"\x08" + b"\0" * 7 in npz and b"'shape': (2, 2, )" in npz)
with open(os.path.join(sys.path[0], "datasets.json")) as f:
    for name, s in json.load(f).items():
        named = {v for field in s["fields"].values() for k, v in field.items() if k in ("train", "test", "all")}
        expect("fields of %s name its files" % name, named == set(s["files"]))
print("\n".join(failures) or "all well")
sys.exit(1 if failures else 0)
