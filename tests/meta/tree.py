# SPDX-License-Identifier: Apache-2.0
"""The source tree as the checks of this folder see it, and how they report.

A check is a function (path, text) -> list of (line number, message). `main` first runs it on planted files, each of
which it must find fault with or must let pass, then on every file of the tree.
"""
import os
import sys

SKIPPED = {".git", ".cache", "__pycache__", "corpus"}


def files(root):
    """(path from the root, text) of every text file, generated and ignored folders left out."""
    for folder, names, leaves in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED and not (folder == root and n.startswith("bazel-")))
        for leaf in sorted(leaves):
            path = os.path.join(folder, leaf)
            if not os.path.islink(path) and leaf != "compile_commands.json":
                try:
                    with open(path, encoding="utf-8") as f:
                        yield os.path.relpath(path, root), f.read()
                except (UnicodeDecodeError, FileNotFoundError):
                    continue


def main(check, bad, good):
    faults = ["the check misses a planted fault in " + p for p, t in bad if not check(p, t)]
    faults += ["the check objects to a sound " + p for p, t in good if check(p, t)]
    seen = 0
    for path, text in files(sys.argv[1]):
        seen += 1
        faults += ["%s:%d: %s" % (path, line, message) for line, message in check(path, text)]
    if seen < 20:
        faults.append("only %d files seen under %s: this is not the source tree" % (seen, sys.argv[1]))
    print("\n".join(faults) or "%d files, no fault" % seen)
    sys.exit(1 if faults else 0)
