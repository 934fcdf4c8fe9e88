#!/usr/bin/env bash
# Installs the cluster managers that drbdts is tested and measured with (heartbeat, Pacemaker, Corosync, pcs, crmsh, agents, keepalived; nginx as a
# service), for `npm run test:cluster-managers` and `npm run bench:outage`. Nothing of it is started, now or at boot: the tests run them in namespaces. Does only what is missing.
set -euo pipefail

say() { echo "setup: $1"; }
fail() {
  echo "setup: $1" >&2
  exit 1
}

packages=(heartbeat cluster-glue resource-agents pacemaker pacemaker-cli-utils corosync fence-agents pcs crmsh keepalived nginx libxml2-utils curl)
services=(heartbeat corosync pacemaker pcsd keepalived nginx)

command -v dpkg-query >/dev/null || fail "no Debian packages here; make sure that these are installed: ${packages[*]}"
installed=$({ dpkg-query -W -f='${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true; } | awk '$2 == "installed" { print $1 }')
missing=()
for package in "${packages[@]}"; do
  grep -qx -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "packages are missing and only root may install them: apt-get install ${missing[*]}"
  sudo=(sudo)
fi

# A package's service starts with its installation unless this file says no; one that is there already is somebody else's.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod 755 "$policy"
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi

say "installing ${missing[*]}"
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=500)
install=("${apt[@]}" install -y --no-install-recommends "${missing[@]}")
if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || ! "${install[@]}" >/dev/null 2>&1; then
  "${apt[@]}" update >/dev/null || fail "apt-get update failed; check the network and /etc/apt/sources.list"
  if ! log=$("${install[@]}" 2>&1); then
    tail -n 20 <<<"$log" >&2
    fail "could not install: ${missing[*]}"
  fi
fi

for service in "${services[@]}"; do
  # only what came with this run
  case $service in pcsd) package=pcs ;; nginx) package=nginx-light ;; *) package=$service ;; esac
  case " ${missing[*]} " in *" $package "*) ;; *) continue ;; esac
  if [ -d /run/systemd/system ]; then
    "${sudo[@]}" systemctl disable --quiet "$service" 2>/dev/null || say "could not disable $service at boot; do so unless you want it"
  elif command -v update-rc.d >/dev/null; then
    "${sudo[@]}" update-rc.d "$service" disable >/dev/null 2>&1 || true
  fi
done
