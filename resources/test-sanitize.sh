#!/usr/bin/env bash
# The C++ tests of the core under AddressSanitizer and UndefinedBehaviorSanitizer.
#   test-sanitize.sh [doctest options]
set -euo pipefail
cd "$(dirname "$0")/.."
out=native/build/sanitize
mkdir -p "$out"
compiler=(g++)
command -v ccache >/dev/null && compiler=(ccache g++)
flags=(-std=c++20 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -Inative -Itest/native)
# Tests of front ends, engine and keeper start threads and processes of their own; here it is the core's turn.
sources=(native/core/*.cc test/native/support/pair.cc test/native/pcap_reader.cc)
for test in test/native/*.cc; do
  case $test in
    *frontend_* | *engine_* | *pcap_reader.cc) ;;
    *) sources+=("$test") ;;
  esac
done
newest=$(ls -t native/core/*.h test/native/*.h test/native/support/*.h | head -1)
for source in "${sources[@]}"; do
  object=$out/$(echo "${source%.cc}" | tr / _).o
  if [ ! -f "$object" ] || [ "$source" -nt "$object" ] || [ "$newest" -nt "$object" ]; then
    printf '%s\0%s\0' "$source" "$object"
  fi
done | xargs -0 -r -n2 -P2 sh -c 'exec '"${compiler[*]} ${flags[*]}"' -c "$0" -o "$1"'
objects=()
for source in "${sources[@]}"; do objects+=("$out/$(echo "${source%.cc}" | tr / _).o"); done
g++ "${flags[@]}" -o "$out/core_test" "${objects[@]}" -lz
exec "$out/core_test" "$@"
