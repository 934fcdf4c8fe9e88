#!/usr/bin/env bash
# Brings a Debian 12 host with Node 20 to where `npm test` and `npm run bench` run: packages, node_modules, build. With the argument `demo`
# also what `npm run demo` serves: MariaDB's server and nginx. Nothing of it is started, now or at boot. Does only what is missing and is
# quiet when nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $1"; }
fail() {
  echo "setup: $1" >&2
  exit 1
}

# Build: compiler, headers. Run: mkfs, mount, losetup, ip, /proc tools, modprobe. Tests: fio, drbdmeta, nft, conntrack, etcd, fence_dummy, keepalived, tcpdump.
packages=(
  g++ make python3 liburing-dev zlib1g-dev doctest-dev
  e2fsprogs xfsprogs fdisk mount util-linux iproute2 psmisc procps kmod
  fio drbd-utils nftables conntrack resource-agents etcd-server fence-agents iputils-ping keepalived tcpdump
)
# Kernel peers in a virtual machine, where the lab for them lies beside the project (test/support/paths.ts).
if [ -e "${DRBDTS_LAB:-../shared/lab}/drbd-vm/run.sh" ]; then packages+=(qemu-system-x86 cpio); fi
# MariaDB's server without -core in its name would bring a service, an account and a data directory of its own.
demo_packages=(mariadb-server-core mariadb-client nginx)
case "${1:-}" in
  '') ;;
  demo) packages+=("${demo_packages[@]}") ;;
  *) fail "unknown argument $1: it takes \`demo\` or nothing" ;;
esac
# What of these packages has a service that would run from now on.
services=(etcd nginx keepalived)

missing_packages() {
  local installed package
  # dpkg-query fails when it knows nothing of one of them, which is what is asked here
  installed=$({ dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true; } | awk '$2 == "installed" { print $1 }')
  for package in "${packages[@]}"; do
    grep -qx -- "$package" <<<"$installed" || echo "$package"
  done
}

install_packages() {
  local listed log missing service sudo=()
  if ! command -v dpkg-query >/dev/null; then
    say "no Debian packages here; make sure that these are installed: ${packages[*]}"
    return
  fi
  listed=$(missing_packages)
  [ -n "$listed" ] || return 0
  mapfile -t missing <<<"$listed"
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null && ! [ -t 0 ]; then
      fail "packages are missing and only root may install them: apt-get install ${missing[*]}"
    fi
    sudo=(sudo)
  fi
  say "installing ${missing[*]}"
  # A package's service starts with its installation unless this file says no; one that is there already is somebody else's.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    # shellcheck disable=SC2064
    trap "${sudo[*]} rm -f $policy" EXIT
  fi
  local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=500)
  local install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
  # Lists that are missing or too old to name existing files are fetched; fresh ones are used as they are.
  if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || ! "${install[@]}" >/dev/null 2>&1; then
    "${apt[@]}" update >/dev/null || fail "apt-get update failed; check the network and /etc/apt/sources.list"
    if ! log=$("${install[@]}" 2>&1); then
      grep -A 1 -E '^(E:|dpkg: error)|^The following packages have unmet' <<<"$log" >&2 || tail -n 20 <<<"$log" >&2
      fail "could not install: ${missing[*]}"
    fi
  fi
  for service in "${services[@]}"; do
    # only what came with this run
    case " ${missing[*]} " in *" $service "* | *" $service-server "*) ;; *) continue ;; esac
    if [ -d /run/systemd/system ]; then
      "${sudo[@]}" systemctl disable --quiet "$service" 2>/dev/null || say "could not disable $service at boot; do so unless you want it"
    elif command -v update-rc.d >/dev/null; then
      "${sudo[@]}" update-rc.d "$service" disable >/dev/null 2>&1 || true
    fi
  done
}

check_node() {
  command -v node >/dev/null || fail "Node 20.17 or newer is needed: https://nodejs.org"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 17) ? 0 : 1)' ||
    fail "Node $(node --version) is too old: 20.17 or newer is needed"
  command -v npm >/dev/null || fail "npm is missing; it comes with Node"
}

install_modules() {
  local done=node_modules/.package-lock.json
  if [ ! -f "$done" ] || [ package-lock.json -nt "$done" ]; then
    say "installing node modules"
    npm ci --no-audit --no-fund --loglevel=error
    touch "$done"
  fi
  # Its install script compiles for this Node; a copied node_modules, another Node, or npm's script policy may have left it out.
  if ! node -e 'require("fs-ext")' 2>/dev/null; then
    npm rebuild fs-ext --loglevel=error
    node -e 'require("fs-ext")' || fail "fs-ext could not be built; see the messages above"
  fi
}

install_packages
check_node
install_modules
npm run --silent build
