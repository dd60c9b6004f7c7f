#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Times the solver of quadratic programs against ProxQP and OSQP on the 833 test instances of examples/dc3, one core.
#   PEERS="proxqp osqp proxqp-warm"   the last one, from its previous result, may not end within its two minutes
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
[[ -e examples/dc3/dc3_x.npy ]] || python3 examples/dc3/make_data.py
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
pin=()
if command -v taskset > /dev/null; then
  pin=(taskset -c "$(python3 -c 'import os; print(sorted(os.sched_getaffinity(0))[-1])')")
fi
OMP_NUM_THREADS=1 "${pin[@]}" "$program" examples/dc3/dc3.amo --answers "$out/answers.npz" --json "$out/ours.json"
for peer in ${PEERS:-proxqp osqp}; do
  timeout 120 python3 bench/qp_peers.py examples/dc3/dc3_qp.npz "$out/answers.npz" "$out/ours.json" $peer || echo "$peer failed" >&2
done
