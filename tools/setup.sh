#!/usr/bin/env bash
# Installs what the build and the tests need on Debian 12, Debian 13 and Ubuntu 24.04. A second run changes nothing.
#   tools/setup.sh          system packages
#   tools/setup.sh torch    also LibTorch, into the user's cache folder
# Exit codes: 0 done, 3 packages are missing and only an administrator can install them (the command is printed).
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(g++ python3 python3-pip bazel-bootstrap llvm-19-dev antlr4 libantlr4-runtime-dev libeigen3-dev
  libgtest-dev libfmt-dev nlohmann-json3-dev libcli11-dev bison)
missing=()
for p in "${packages[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$p" 2> /dev/null) == installed ]] || missing+=("$p")
done
# A pip of one's own does as well as the system's.
if [[ " ${missing[*]} " == *" python3-pip "* ]] && python3 -m pip --version > /dev/null 2>&1; then
  kept=()
  for p in "${missing[@]}"; do [[ $p == python3-pip ]] || kept+=("$p"); done
  missing=(${kept[@]+"${kept[@]}"})
fi
if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then
    if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then as_root=(sudo); else
      echo "amo: packages are missing; an administrator must run" >&2
      echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
      exit 3
    fi
  fi
  echo "amo: installing ${missing[*]}" >&2
  "${as_root[@]}" apt-get update -q >&2
  # Debian 13 may lack Bazel 4 and the JDK 17 it needs: they then come from Debian 12, at a priority that touches nothing else.
  if [[ " ${missing[*]} " == *" bazel-bootstrap "* ]] && ! apt-cache show bazel-bootstrap > /dev/null 2>&1; then
    echo "amo: bazel-bootstrap is not in this release; adding Debian 12 as a source for it alone" >&2
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?' /etc/apt/sources.list /etc/apt/sources.list.d 2> /dev/null | head -1)
    printf 'deb %s bookworm main\n' "$mirror" | "${as_root[@]}" tee /etc/apt/sources.list.d/amo-bookworm.list > /dev/null
    printf 'Package: *\nPin: release n=bookworm\nPin-Priority: 100\n' |
      "${as_root[@]}" tee /etc/apt/preferences.d/amo-bookworm > /dev/null
    "${as_root[@]}" apt-get update -q >&2
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi
if [[ ${1:-} == torch ]]; then python3 tools/get_libtorch.py > /dev/null; fi
