# SPDX-License-Identifier: Apache-2.0
"""Text: no file names a folder of one machine or the host of a package registry (the clients' configuration does)."""
import re

import tree

RULES = [
    (re.compile(r"(?<![\w.$})*~-])/(work|root|home)/[\w.]"), "a folder of one machine"),
    (re.compile(r"\b(pypi|pythonhosted|npmjs|debian|ubuntu|pytorch|rubygems|crates)\.(org|com|io|net)\b", re.I),
     "the host of a package registry"),
]


def check(path, text):
    return [(number, message) for number, line in enumerate(text.split("\n"), 1)
            for rule, message in RULES if rule.search(line)]


tree.main(check, bad=[
    ("tools/a.py", "open('/%s/main/x')" % "work"),
    ("docs/a.md", "see /%s/.cache" % "root"),
    ("tools/a.sh", "curl https://registry.%s.org/x" % "npmjs"),
    ("tools/b.sh", "https://deb.%s.org/debian" % "debian"),
], good=[("tests/meta/a.py", "the tree/work/main"), ("a.md", "Debian 12, PyPI, npm; ${HOME}/root/x")])
