#!/usr/bin/env bash
# Builds the native part with the node-gyp that comes with npm. Configures only when the set of files changed.
#   build-native.sh [TARGET...]     default: everything
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "build-native: $1" >&2
  exit 1
}

npm_node_gyp() {
  local candidate
  for candidate in \
    "${npm_config_node_gyp:-}" \
    "$(dirname "$(dirname "${npm_execpath:-/nonexistent/bin/npm-cli.js}")")/node_modules/node-gyp/bin/node-gyp.js" \
    "$(npm root -g 2>/dev/null)/npm/node_modules/node-gyp/bin/node-gyp.js" \
    /usr/share/nodejs/node-gyp/bin/node-gyp.js; do
    if [ -f "$candidate" ]; then
      echo "$candidate"
      return
    fi
  done
  fail "npm's node-gyp was not found; install npm 10 or newer (npm install -g npm)"
}

[ -d node_modules/node-addon-api ] || fail "node_modules is missing; run: npm run setup"
command -v g++ >/dev/null || fail "no C++ compiler; run: npm run setup"
gyp=$(npm_node_gyp)
nodedir=${npm_config_nodedir:-}
if [ -z "$nodedir" ]; then
  nodedir=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
fi
[ -f "$nodedir/include/node/node_api.h" ] || nodedir=/usr
[ -f "$nodedir/include/node/node_api.h" ] || fail "Node's headers (node_api.h) were not found below $nodedir/include/node; set npm_config_nodedir"

# Two builds in one tree would overwrite each other's objects.
mkdir -p native/build
exec 9>native/build/.lock
flock 9

run_gyp() { node "$gyp" --silent --directory=native --nodedir="$nodedir" "$@"; }

# What configure depends on; a changed source alone is make's business.
stamp=native/build/.configured-for
inputs=$(
  cat native/binding.gyp
  ls native/core/*.cc native/io/*.cc native/engine/*.cc native/frontend/*.cc native/addon/*.cc native/net/*.cc native/keeper/*.cc native/sim/*.cc native/sim/checkers/*.cc test/native/*.cc
  node --version
  echo "$nodedir" "$gyp"
)
if [ ! -f native/build/Makefile ] || [ "$(cat "$stamp" 2>/dev/null || true)" != "$inputs" ]; then
  run_gyp configure
  printf '%s\n' "$inputs" >"$stamp"
fi

export CC=${CC:-gcc} CXX=${CXX:-g++}
if command -v ccache >/dev/null && [ -z "${DRBDTS_NO_CCACHE:-}" ]; then
  export CC="ccache $CC" CXX="ccache $CXX"
fi
make --no-print-directory --silent -C native/build -j2 BUILDTYPE=Release "$@"
