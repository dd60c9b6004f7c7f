# SPDX-License-Identifier: Apache-2.0
"""tools/count_tests.py counts cases, and never calls a run green that did not end well."""
import json
import os
import subprocess
import sys
import tempfile

COUNT = os.path.join(sys.argv[1], "tools/count_tests.py")
CASES = """<testsuites><testsuite name="A">
<testcase name="a" status="run"/><testcase name="b" status="run"/>%s
<testcase name="s" status="run" result="skipped"><skipped message="x"/></testcase>
<testcase name="d" status="notrun" result="suppressed"/></testsuite></testsuites>"""


def run(folder, results, status):
    events = os.path.join(folder, "events")
    with open(events, "w") as f:
        f.write(json.dumps({"id": {"started": {}}}) + "\n")
        for i, (word, text) in enumerate(results):
            log = os.path.join(folder, "test %d.xml" % i)
            with open(log, "w") as x:
                x.write(text)
            uri = "file://" + log.replace(" ", "%20")
            f.write(json.dumps({"testResult": {"status": word, "testActionOutput": [{"name": "test.xml", "uri": uri}]}}) + "\n")
    r = subprocess.run([sys.executable, COUNT, events, str(status)], stdout=subprocess.PIPE, text=True)
    return r.stdout.strip().split("\n")[-1], r.returncode


TABLE = [
    ("two cases, one skipped, one disabled", [("PASSED", CASES % "")], 0, "2 passed, 0 failed, 2 skipped", 0),
    ("a failing case", [("FAILED", CASES % '<testcase name="c"><failure/></testcase>')], 3, "2 passed, 1 failed, 2 skipped", 1),
    ("cases pass, the program then crashes", [("FAILED", CASES % "")], 3, "2 passed, 1 failed, 2 skipped", 1),
    ("no report", [("PASSED", ""), ("TIMEOUT", "")], 3, "1 passed, 1 failed", 1),
    ("two targets", [("PASSED", CASES % ""), ("PASSED", "")], 0, "3 passed, 0 failed, 2 skipped", 0),
    ("the build failed", [], 1, "0 passed, 1 failed", 1),
    ("some passed, another did not build", [("PASSED", "")], 1, "1 passed, 1 failed", 1),
    ("nothing ran", [], 0, "0 passed, 0 failed", 1),
]
failures = 0
with tempfile.TemporaryDirectory() as tmp:
    for name, results, status, line, code in TABLE:
        got = run(tmp, results, status)
        if got != (line, code):
            failures += 1
            print("%s: %r, expected %r" % (name, got, (line, code)))
print("%d of %d wrong" % (failures, len(TABLE)))
sys.exit(1 if failures else 0)
