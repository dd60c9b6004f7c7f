#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the cases of cli_test.py on the built program.
set -euo pipefail
AMO=$PWD/runtime/cli/amo PROGRAMS=$PWD/tests/programs exec python3 tests/cli/cli_test.py
