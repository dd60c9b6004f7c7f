# SPDX-License-Identifier: Apache-2.0
# Sourced by ./amo, ./test and tools/*.sh: what they need of the environment, where a container or a service leaves it out.
if [[ -z ${HOME:-} ]]; then
  HOME=$(getent passwd "$(id -u)" 2> /dev/null | cut -d: -f6) || HOME=
  [[ -n $HOME && -w $HOME ]] || HOME=${TMPDIR:-/tmp}/amo-home-$(id -u)
  mkdir -p "$HOME"
  export HOME
fi
amo_cache=${AMO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/amo}
