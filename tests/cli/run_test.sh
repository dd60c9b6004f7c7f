#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the cases of the file it is given, in this folder, on the built program.
set -euo pipefail
AMO=$PWD/runtime/cli/amo PROGRAMS=$PWD/tests/programs exec python3 "tests/cli/$1"
