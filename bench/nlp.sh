#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Times our interior point method, 1,024 instances in a batch, against Ipopt, one instance after the other on the same
# derivatives: the ten problems of examples/hock_schittkowski, one core. us an instance.
#   SOLVE=PROGRAM   one that is built already (bazel-bin/bench/solve)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
program=${SOLVE:-}
if [[ ! $program ]]; then
  tools/setup.sh torch
  bazel build --config=opt //bench:solve
  program=$(bazel info --config=opt bazel-bin 2> /dev/null)/bench/solve
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
pin=()
if command -v taskset > /dev/null; then
  pin=(taskset -c "$(python3 -c 'import os; print(sorted(os.sched_getaffinity(0))[-1])')")
fi
export OMP_NUM_THREADS=1
for file in $(ls -v examples/hock_schittkowski/*.amo); do
  name=$(basename "$file" .amo)
  "${pin[@]}" "$program" "$file" --instances 1024 --seconds 0.5 --json "$out/ours.json" > /dev/null
  "${pin[@]}" "$program" "$file" --instances 64 --method ipopt --seconds 0.5 --json "$out/ipopt.json" > /dev/null
  python3 - "$name" "$out" << 'PY'
import json, sys
name, out = sys.argv[1:]
ours, ipopt = (json.load(open("%s/%s.json" % (out, n))) for n in ("ours", "ipopt"))
print("%-6s  amo %8.2f (one by one %7.1f)   ipopt %9.1f   ipopt / amo %7.1f (one by one %5.1f)   not solved: %d, %d" % (
    name, ours["batch"] * 1e6, ours["single"] * 1e6, ipopt["batch"] * 1e6, ipopt["batch"] / ours["batch"],
    ipopt["batch"] / ours["single"], ours["unsolved"], ipopt["unsolved"]))
PY
done
