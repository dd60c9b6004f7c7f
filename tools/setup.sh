#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build and the tests need on Debian 12, Debian 13 and Ubuntu 24.04. A second run changes nothing.
#   tools/setup.sh          system packages
#   tools/setup.sh torch    also LibTorch, into the user's cache folder
#   tools/setup.sh test     also the browser in which tests look at pages (Debian; Ubuntu has none as a package)
# Exit codes: 0 done; 3 packages are missing and only an administrator can install them (the commands are printed);
# 4 this is no Debian or Ubuntu; anything else: apt or the download failed and has said why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

packages=(g++ python3 python3-pip bazel-bootstrap llvm-19-dev antlr4 libantlr4-runtime-dev libeigen3-dev
  libgtest-dev libfmt-dev nlohmann-json3-dev libcli11-dev libtbb-dev libzip-dev
  libssl-dev bison coinor-libipopt-dev libjs-chart.js)

if [[ ${1:-} == test ]] && grep -qx 'ID=debian' /etc/os-release 2> /dev/null; then packages+=(chromium); fi

say() { echo "amo: $*" >&2; }

# Debian 13 may lack Bazel 4 and the JDK 17 it needs: they then come from Debian 12, at a priority (100, below 500) that
# changes no package which this release has itself.
bookworm_list=/etc/apt/sources.list.d/amo-bookworm.list
bookworm_pin=/etc/apt/preferences.d/amo-bookworm
bookworm_source() {
  local mirror signed=
  grep -qx 'ID=debian' /etc/os-release || return 1
  # Where this release's own base comes from; other sources of the machine may hold anything.
  mirror=$(apt-cache policy base-files | grep -oE 'https?://[^ ]+' | grep -v security | head -1) || return 1
  [[ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] '
  echo "deb $signed$mirror bookworm main"
}
bookworm_pins=$'Package: *\nPin: release n=bookworm\nPin-Priority: 100'

in_this_release() { apt-cache policy "$1" 2> /dev/null | grep -q 'Candidate: [^(]'; }

if ! command -v dpkg-query > /dev/null; then
  say "this set-up knows Debian and Ubuntu only; elsewhere install by hand what these hold: ${packages[*]}"
  exit 4
fi
present=" $(dpkg-query -W -f='${Package}=${db:Status-Status} ' "${packages[@]}" 2> /dev/null || true)"
missing=()
for p in "${packages[@]}"; do [[ $present == *" $p=installed "* ]] || missing+=("$p"); done
# A pip of one's own does as well as the system's.
if [[ " ${missing[*]-} " == *" python3-pip "* ]] && python3 -m pip --version > /dev/null 2>&1; then
  kept=()
  for p in "${missing[@]}"; do [[ $p == python3-pip ]] || kept+=("$p"); done
  missing=(${kept[@]+"${kept[@]}"})
fi

if ((${#missing[@]})); then
  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  as_root=()
  if (($(id -u) != 0)); then
    # sudo may ask for a password only where somebody can answer.
    if command -v sudo > /dev/null && { sudo -n true 2> /dev/null || { [[ -t 0 && -t 2 ]] && sudo -v; }; }; then
      as_root=(sudo)
    else
      say "packages are missing; an administrator must run"
      echo "  apt-get update" >&2
      if [[ " ${missing[*]} " == *" bazel-bootstrap "* ]] && ! in_this_release bazel-bootstrap && line=$(bookworm_source); then
        echo "  # if this release has no bazel-bootstrap, take it (and its JDK 17) from Debian 12:" >&2
        echo "  echo '$line' > $bookworm_list" >&2
        echo "  printf '${bookworm_pins//$'\n'/\\n}\\n' > $bookworm_pin && apt-get update" >&2
      fi
      echo "  ${install[*]}" >&2
      exit 3
    fi
  fi
  start=$SECONDS
  say "installing ${missing[*]}"
  "${as_root[@]}" apt-get update -q >&2
  if [[ " ${missing[*]} " == *" bazel-bootstrap "* ]] && ! in_this_release bazel-bootstrap; then
    if ! line=$(bookworm_source); then
      say "no source offers bazel-bootstrap (on Ubuntu it is in \"universe\": add-apt-repository universe)"
      exit 5
    fi
    say "this release has no bazel-bootstrap; adding Debian 12 as a source for it and its JDK 17 ($bookworm_list), at priority 100"
    echo "$line" | "${as_root[@]}" tee "$bookworm_list" > /dev/null
    echo "$bookworm_pins" | "${as_root[@]}" tee "$bookworm_pin" > /dev/null
    "${as_root[@]}" apt-get update -q >&2
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "${install[@]:1}" >&2
  say "packages installed in $((SECONDS - start)) s"
fi
if [[ ${1:-} == torch ]]; then python3 tools/get_libtorch.py > /dev/null; fi
