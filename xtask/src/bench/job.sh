#!/bin/bash
# Times its own steps, so that starting is no part of them. $1 is a directory
# with everything in it, $2 one that is only read.
set -eu
cd "$1"
export CARGO_HOME=$PWD/cargo-home

step() {
  local name=$1 from to
  shift
  from=$EPOCHREALTIME
  "$@" >/dev/null 2>&1 || echo "failed $name"
  to=$EPOCHREALTIME
  echo "step $name $((${to/./} - ${from/./}))"
}
status() { for _ in 1 2 3 4 5; do git -C repo status --porcelain; done; }
find_all() { for _ in 1 2 3; do find repo -type f -printf '%s\n'; done; }
search() { for _ in 1 2 3; do grep -rF 'nobody wrote this' repo || true; done; }
copy() { mkdir copy && tar cf - repo/d0 repo/d1 repo/d2 | tar xf - -C copy; }
execs() { for ((i = 0; i < 2000; i++)); do /bin/true; done; }

status
step git-status status
step find find_all
step grep search
step tar-copy copy
rm -rf copy
step create-16 node create.js made
rm -rf made
mkdir made
step create-1 tar xf files.tar -C made
rm -rf made
step execs execs
step make make -s -B -C c
if [ -x "$2/rust/bin/cargo" ]; then
  export PATH=$2/rust/bin:$PATH
  rm -rf rs/target
  step cargo cargo build --offline --quiet --manifest-path rs/Cargo.toml
fi
./opens read "$2/1/2/3/4/5/6/7/8/file" open-read-only
./opens read "$PWD/1/2/3/4/5/6/7/8/file" open-workspace
./opens write "$PWD/1/2/3/4/5/6/7/8/file" open-write
