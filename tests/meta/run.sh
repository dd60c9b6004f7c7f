#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one check of this folder on the source tree itself: data globs do not cross packages, so the tree is found
# through this script's real place.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
exec python3 -B "$here/$1" "${here%/tests/meta}"
