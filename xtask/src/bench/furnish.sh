#!/bin/bash
# Furnishes a directory with what job.sh works on. $1 is where the C source is.
set -eu
mkdir -p repo c rs/src 1/2/3/4/5/6/7/8
echo text >1/2/3/4/5/6/7/8/file
for ((d = 0; d < 100; d++)); do
  mkdir -p "repo/d$d"
  for ((f = 0; f < 100; f++)); do
    printf 'line %d\n%.0s' $d $f {1..40} >"repo/d$d/f$f.txt"
  done
done
git -C repo init -q
git -C repo -c user.name=a -c user.email=a@b add -A
git -C repo -c user.name=a -c user.email=a@b commit -qm one
for ((i = 0; i < 20; i++)); do
  printf '#include <stdio.h>\n#include <stdlib.h>\nint f%d(int n) { for (int i = 0; i < n; i++) printf("%%d", i * %d); return abs(n); }\n' $i $i >"c/f$i.c"
done
printf 'int main(void) { return 0; }\n' >c/main.c
printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\tcc -o all $^\n%%.o: %%.c\n\tcc -O1 -c -o $@ $<\n' >c/Makefile
members=
for ((i = 0; i < 12; i++)); do
  mkdir -p "rs/m$i/src"
  printf '[package]\nname = "m%d"\nversion = "0.1.0"\nedition = "2021"\n' $i >"rs/m$i/Cargo.toml"
  for ((f = 0; f < 60; f++)); do
    printf 'pub fn f%d(n: u64) -> String { let v: Vec<u64> = (0..n).collect(); format!("{:?} {}", v, %d) }\n' $f $f
  done >"rs/m$i/src/lib.rs"
  members="$members\"m$i\", "
done
rmdir rs/src
printf '[workspace]\nresolver = "2"\nmembers = [%s]\n' "$members" >rs/Cargo.toml
mkdir made
for ((d = 0; d < 300; d++)); do
  mkdir "made/p$d"
  for ((f = 0; f < 100; f++)); do printf '%02048d' $f >"made/p$d/f$f.js"; done
done
tar cf files.tar -C made .
rm -rf made
cc -O1 -o opens "$1"
