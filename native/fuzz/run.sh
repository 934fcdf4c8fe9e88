#!/usr/bin/env bash
# Fuzzes the decoders of everything that comes from outside: the peer's bytes and the disk's meta-data.
#   run.sh [SECONDS per target]     default 60. Needs clang and its sanitizer runtime (Debian: clang libclang-rt-14-dev).
# Inputs that are worth keeping gather in native/build/fuzz/<target>-corpus; a finding is written there as crash-*.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-60}
command -v clang++ >/dev/null || {
  echo "fuzz: clang++ is missing: apt-get install clang libclang-rt-14-dev" >&2
  exit 1
}
out=native/build/fuzz
mkdir -p "$out"
sources=(native/core/{assert,result,crc32c,digest,random,wire_format,wire_codec,meta_data,bitmap,bitmap_codec,activity_log}.cc)
for target in wire meta; do
  clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -Inative \
    "native/fuzz/${target}_fuzz.cc" "${sources[@]}" -o "$out/$target"
  mkdir -p "$out/$target-corpus"
  echo "== $target: $seconds s"
  (cd "$out" && "./$target" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$PWD/" "$target-corpus" 2>&1 | tail -12)
done
