# SPDX-License-Identifier: Apache-2.0
"""Sizes: no source file of more than 600 lines, which usually has two jobs."""
import tree

LIMIT = 600


def check(path, text):
    lines = text.count("\n")
    return [(lines, "%d lines, at most %d" % (lines, LIMIT))] if path.endswith((".cc", ".h", ".py")) and lines > LIMIT else []


tree.main(check, bad=[("lang/a.cc", "\n" * (LIMIT + 1))],
          good=[("lang/a.cc", "\n" * LIMIT), ("lang/name.def", "\n" * (LIMIT + 1))])
