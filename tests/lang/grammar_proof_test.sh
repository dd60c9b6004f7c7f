#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The grammar gives every token string one tree (no LR(1), no LALR(1) conflict), and the proof notices when it does not:
# without names a constraint could go on in the next one.
set -euo pipefail
command -v bison > /dev/null || { echo "bison is missing: apt-get install bison"; exit 1; }
python3 tools/grammar_proof.py lang/Amo.g4 --start file --start expression

unnamed=$(mktemp)
trap 'rm -f "$unnamed"' EXIT
sed "s/^constraint : constraintName quantifier? ':' relation/constraint : (constraintName quantifier? ':')? relation/" \
  lang/Amo.g4 > "$unnamed"
if cmp -s lang/Amo.g4 "$unnamed"; then
  echo "the rule for constraints has changed: change this test's ambiguous variant too"
  exit 1
fi
if python3 tools/grammar_proof.py "$unnamed" > /dev/null; then
  echo "the proof accepts an ambiguous grammar"
  exit 1
fi
echo "constraints without names: found to be ambiguous"
