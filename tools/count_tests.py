#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints `N passed, N failed[, N skipped]` for a `bazel test` run: count_tests.py EVENTS.json STATUS.

Cases of a test that wrote an XML report count one by one, any other target as one. A run that did not end well has at
least one failure, so that a build error never reads as green. Exits with 1 when anything failed.
"""
import json
import sys
import urllib.parse
import xml.etree.ElementTree as xml


def count(result):
    """(passed, failed, skipped) of one test target's event."""
    ok = result["status"] == "PASSED"
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            try:
                suites = xml.parse(urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)).getroot()
            except (OSError, xml.ParseError):
                break
            cases = list(suites.iter("testcase"))
            bad = sum(1 for c in cases if c.find("failure") is not None or c.find("error") is not None)
            # GoogleTest marks a skipped case by an element or an attribute, a disabled one by its status.
            idle = sum(1 for c in cases if c.find("skipped") is not None or c.get("result") in ("skipped", "suppressed")
                       or c.get("status") == "notrun")
            if cases:
                return len(cases) - bad - idle, max(bad, 0 if ok else 1), idle
    return (1, 0, 0) if ok else (0, 1, 0)


def main():
    passed = failed = skipped = 0
    with open(sys.argv[1], encoding="utf-8") as events:
        for line in events:
            event = json.loads(line)
            if "testResult" in event:
                p, f, s = count(event["testResult"])
                passed, failed, skipped = passed + p, failed + f, skipped + s
    if int(sys.argv[2]) and not failed:
        failed = 1
    print("%d passed, %d failed" % (passed, failed) + (", %d skipped" % skipped if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


main()
