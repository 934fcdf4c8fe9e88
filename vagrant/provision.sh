#!/bin/bash
# Makes a fresh Debian 12 host a drbdts node (`provision.sh node`) or a bare third host with the same tools (`provision.sh witness`).
# May be run again: every step leaves what is there already as it is.
set -euo pipefail

role=${1:-node}
source_dir=/opt/drbdts-source
install_dir=/opt/drbdts
export DEBIAN_FRONTEND=noninteractive

apt-get update
apt-get install -y --no-install-recommends ca-certificates curl gnupg rsync

if ! node --version 2>/dev/null | grep -q '^v20\.'; then
  install -d -m 0755 /etc/apt/keyrings
  curl -fsSL https://deb.nodesource.com/gpgkey/nodesource-repo.gpg.key | gpg --batch --yes --dearmor -o /etc/apt/keyrings/nodesource.gpg
  echo 'deb [signed-by=/etc/apt/keyrings/nodesource.gpg] https://deb.nodesource.com/node_20.x nodistro main' >/etc/apt/sources.list.d/nodesource.list
  apt-get update
  apt-get install -y nodejs
fi

# names for ssh and logs; the configuration has addresses
for entry in '192.168.42.12 master1' '192.168.42.13 master2' '192.168.42.14 witness'; do
  grep -qF "$entry" /etc/hosts || echo "$entry" >>/etc/hosts
done

rsync -a --delete --exclude node_modules --exclude dist --exclude native/build "$source_dir/" "$install_dir/"
cd "$install_dir"
npm run setup
ln -sf "$install_dir/dist/src/cli/main.js" /usr/local/sbin/drbdts
ln -sf "$install_dir/dist/src/daemon/main.js" /usr/local/sbin/drbdtsd
chmod 0755 "$install_dir/dist/src/cli/main.js" "$install_dir/dist/src/daemon/main.js"
install -D -m 0644 resources/completion/drbdts.bash /usr/share/bash-completion/completions/drbdts

[[ $role == node ]] || exit 0

# the spare disk is the one without partitions and without a file system; the example names /dev/sdb1
disk=''
while read -r name type; do
  if [[ $type == disk && -z $(lsblk -no FSTYPE,MOUNTPOINT "/dev/$name" | tr -d '[:space:]') && $(lsblk -no NAME "/dev/$name" | wc -l) -eq 1 ]]; then
    disk=/dev/$name
  fi
done < <(lsblk -dno NAME,TYPE)
install -d -m 0755 /etc/drbdts
if [[ ! -e /etc/drbdts/drbdts.yaml ]]; then
  if [[ -z $disk ]]; then
    echo 'provision: no empty disk found; add one of 2 GiB to this machine' >&2
    exit 1
  fi
  sed "s|disk: /dev/sdb1|disk: $disk|" resources/examples/r0.yaml >/etc/drbdts/drbdts.yaml
  chmod 0600 /etc/drbdts/drbdts.yaml
fi
drbdts config check

if compgen -G 'resources/systemd/*.service' >/dev/null; then
  install -m 0644 resources/udev/*.rules /etc/udev/rules.d/
  udevadm control --reload
  install -m 0644 resources/systemd/*.service /etc/systemd/system/
  systemctl daemon-reload
  systemctl enable --now drbdts.service
fi
