#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The one command of the benchmark: builds, measures ours and the peers kernel by kernel, prints the tables.
#   bench/run.sh [KERNEL ...]     else all of them
#   SECONDS_EACH=0.3   time for each figure        BATCHES="1 64 1024 16384"      PRECISIONS="64 32"
#   PEERS=1            0: ours and LibTorch only   TORCH=1: torch.compile too     OUT=FOLDER for the figures (JSON)
#   KERNELS=PROGRAM    one that is built already (bazel-bin/bench/kernels)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
rm -f "$out"/{ours,peers}.*.json "$out"/*.npz
read -ra batches <<< "${BATCHES:-1 64 1024 16384}"
each=${SECONDS_EACH:-0.3}
program=${KERNELS:-}
if [[ ! $program ]]; then
  tools/setup.sh torch
  bazel build --config=opt //bench:kernels
  program=$(bazel info --config=opt bazel-bin 2> /dev/null)/bench/kernels
fi
kernels=("$@")
(($#)) || kernels=(quad16 quad64 lse32 rosen10 trig16 sphere cartpole20 lasso50x100 portfolio50 ot196 potts
  chain200 chain1000 chain10000 quad16.hvp quad64.hvp rosen10.hvp cartpole20.hvp)

# The last processors that we may use: the first one more often serves interrupts.
pin() { # pin COUNT COMMAND ...
  local count=$1 cpus
  shift
  if command -v taskset > /dev/null; then
    cpus=$(python3 -c "import os; print(*sorted(os.sched_getaffinity(0))[-$count:], sep=',')")
    taskset -c "$cpus" "$@"
  else
    "$@"
  fi
}
export -n OMP_NUM_THREADS OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2> /dev/null || true

{
  model=$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1)
  echo "processor: $model, $(nproc) threads; load $(cut -d' ' -f1-3 /proc/loadavg)"
  echo "amo: $(git describe --always --dirty 2> /dev/null || echo unknown); $(g++ --version | head -1); $(uname -sr)"
} | tee "$out/stamp.txt"

for precision in ${PRECISIONS:-64 32}; do
  for kernel in "${kernels[@]}"; do
    # One after the other, so that a machine whose speed drifts treats both alike.
    OMP_NUM_THREADS=1 pin 1 "$program" --kernel "$kernel" --batch "${batches[@]}" --precision "$precision" \
      --seconds "$each" --inputs "$out" --json "$out/ours.$kernel.$precision.1.json"
    if [[ ${PEERS:-1} != 0 ]]; then
      python3 bench/peers.py --kernel "$kernel" --batch "${batches[@]}" --precision "$precision" --seconds "$each" \
        --inputs "$out" --json "$out/peers.$kernel.$precision.1.json" ${TORCH:+--torch} ||
        echo "no peers for $kernel" >&2
    fi
    rm -f "$out/$kernel.$precision.npz"
    if (($(nproc) > 1)) && [[ " ${batches[*]} " == *" 16384 "* && $kernel != *.hvp ]]; then
      pin 2 "$program" --kernel "$kernel" --batch 16384 --precision "$precision" --threads 2 --seconds "$each" \
        --json "$out/ours.$kernel.$precision.2.json" > /dev/null
    fi
  done
done
pin 1 "$program" --chain --json "$out/chain.json" | tee "$out/chain.txt"

cat "$out/stamp.txt"
python3 - "$out" << 'PYTHON'
import glob, json, sys
for path in sorted(glob.glob(sys.argv[1] + "/peers.*.json"))[:1]:
    print("peers:", ", ".join("%s %s" % v for v in json.load(open(path))["versions"].items()))
PYTHON
python3 bench/table.py "$out" --json "$out/table.json" | tee "$out/table.txt"
echo "figures: $out"
