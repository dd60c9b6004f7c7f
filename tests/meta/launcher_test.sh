#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ./amo and tools/setup.sh in a made-up checkout, with stand-ins for bazel, dpkg-query, apt-get and id: they build when
# they must and only then, keep the caller's folder and arguments, and say what an administrator has to install.
set -uo pipefail
tree=$(readlink -f "$0") && tree=${tree%/tests/meta/*}
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
failures=0
check() { # check WHAT COMMAND...
  "${@:2}" || { echo "FAILED: $1"; failures=$((failures + 1)); sed 's/^/    /' "$top/err"; }
}
has() { grep -qF -- "$1" "$2"; }

co="$top/check out" fake=$top/fake
mkdir -p "$co/tools" "$co/lang" "$fake" "$top/elsewhere"
cp "$tree/amo" "$co/" && cp "$tree/tools/setup.sh" "$tree/tools/env.sh" "$co/tools/"
echo 'open(__import__("os").environ["TOP"] + "/torch", "a").write("x")' > "$co/tools/get_libtorch.py"
touch "$co/lang/a.cc" "$co/WORKSPACE"

put() { cat > "$fake/$1" && chmod +x "$fake/$1"; }
put dpkg-query << 'F'
#!/usr/bin/env bash
[[ -e $TOP/bare ]] && exit 1
for p in "${@:3}"; do printf '%s=installed ' "$p"; done
F
put bazel << 'F'
#!/usr/bin/env bash
if [[ $1 == info ]]; then echo "$TOP/bin"; exit; fi
cat > /dev/null # what a build may not take from the caller
echo "$*" >> "$TOP/builds"
sleep "$(cat "$TOP/delay" 2> /dev/null || echo 0)"
echo "[1 / 2] Compiling lang/a.cc" >&2
if [[ -e $TOP/broken ]]; then echo "lang/a.cc:1: error: expected a declaration" >&2; exit 1; fi
mkdir -p "$TOP/bin/runtime/cli"
printf '#!/bin/sh\necho "in $PWD:"; for a; do echo "<$a>"; done; cat; exit 7\n' > "$TOP/bin/runtime/cli/amo.new"
chmod +x "$TOP/bin/runtime/cli/amo.new" && mv "$TOP/bin/runtime/cli/amo.new" "$TOP/bin/runtime/cli/amo"
F
printf '#!/bin/sh\nprintf x >> "$TOP/apt"\n' | put apt-get
printf '#!/bin/sh\nexit 1\n' | put sudo
printf '#!/bin/sh\necho "  Candidate: 1"\n' | put apt-cache
printf '#!/bin/sh\ncat "$TOP/uid"\n' | put id
echo 0 > "$top/uid"
export TOP=$top PATH=$fake:$PATH AMO_CACHE=$top/cache
unset AMO_VERBOSE AMO_LIBTORCH
: > "$top/builds"
builds() { [[ $(wc -l < "$top/builds") == "$1" ]] || { echo "$(wc -l < "$top/builds") builds, not $1"; return 1; }; }
call() { (cd "$top/elsewhere" && echo input | "$co/amo" "$@" > "$top/out" 2> "$top/err"); code=$?; }
code_is() { [[ $code == "$1" ]] || { echo "exit code $code, not $1"; return 1; }; }

# Broken first: the tail of the output, and no stamp that would make the next call believe in a build.
touch "$top/broken"
call check x.amo
check "a failed build has its own code" code_is 102
check "a failed build shows the error" has "expected a declaration" "$top/err"
rm "$top/broken"

call check "a b.amo" ''
check "the program's code is passed on" code_is 7
check "it runs where it was called" has "in $top/elsewhere:" "$top/out"
check "arguments stay whole" has "<a b.amo>" "$top/out"
check "empty arguments stay" has "<>" "$top/out"
check "its input is the caller's" has "input" "$top/out"
check "the build is announced" has "building" "$top/err"
check "LibTorch was asked for" test -s "$top/torch"
check "built again after the failure" builds 2

call check
check "nothing to build" builds 2
check "a call with nothing to build says nothing" test ! -s "$top/err"

echo 'int x;' > "$top/new.cc" && touch -d '2001-01-01' "$top/new.cc" && cp -p "$top/new.cc" "$co/lang/a.cc"
call check
check "a source changed, though its time is old" builds 3
AMO_LIBTORCH=/elsewhere call check
check "another LibTorch builds again" builds 4
call check
check "and back" builds 5
rm -r "$top/bin"
call check
check "a lost program builds again" builds 6
rm "$co/lang/a.cc"
call check
check "a source removed" builds 7

echo 1 > "$top/delay" && touch "$co/lang/a.cc"
for _ in 1 2 3; do (cd "$top" && "$co/amo" < /dev/null > /dev/null 2>> "$top/err") & done
wait
check "three calls at once, one build" builds 8
rm "$top/delay"
ln -s "$co/amo" "$top/elsewhere/linked"
(cd "$top/elsewhere" && ./linked < /dev/null > "$top/out" 2> "$top/err")
check "called through a link" has "in $top/elsewhere:" "$top/out"

# No administrator: the command is printed, nothing is run.
touch "$top/bare" "$co/lang/b.cc"
echo 1000 > "$top/uid"
call check
check "missing packages have their own code" code_is 100
check "the command for an administrator" has "apt-get install -y --no-install-recommends g++ " "$top/err"
check "apt was left alone" test ! -e "$top/apt"
(cd / && "$co/tools/setup.sh" > /dev/null 2> "$top/err"); code=$?
check "setup.sh's own code" code_is 3
echo 0 > "$top/uid"
call check
check "root installs and goes on" code_is 7
check "apt was run: update, install" test "$(cat "$top/apt")" == xx

# A service's environment: no HOME, so the account's.
rm "$top/bare"
mkdir "$top/home"
printf '#!/bin/sh\necho "u:x:0:0::$TOP/home:/bin/sh"\n' | put getent
(cd "$top/elsewhere" && env -u HOME -u AMO_CACHE -u XDG_CACHE_HOME "$co/amo" < /dev/null > "$top/out" 2> "$top/err"); code=$?
check "without HOME" code_is 7
check "the account's cache" test -d "$top/home/.cache/amo/checkouts"
[[ $failures == 0 ]] && echo "all well" || exit 1
