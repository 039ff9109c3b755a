#!/usr/bin/env bash
# Installs the Debian packages that tests need, or only those named as arguments.
# What is present is left alone, which makes a second run take a moment. It needs
# root and apt; services that come with a package are not started.
#   packages.sh            everything in packages.txt
#   packages.sh NAME...    these packages
#   packages.sh --check    prints what is missing and fails when something is
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
listed() { sed 's/#.*//' "$here/packages.txt" | xargs -n1; }
present() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }
missing() { local name; for name in "$@"; do present "$name" || echo "$name"; done; }

command -v dpkg-query > /dev/null || { echo "packages.sh: this is no Debian system; install by hand: $(listed | xargs)" >&2; exit 69; }
if [ "${1-}" = --check ]; then
  mapfile -t absent < <(missing $(listed))
  [ ${#absent[@]} -eq 0 ] || { echo "missing: ${absent[*]}"; exit 1; }
  exit
fi
if [ $# -gt 0 ]; then mapfile -t absent < <(missing "$@"); else mapfile -t absent < <(missing $(listed)); fi
[ ${#absent[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "packages.sh: must be root to install: ${absent[*]}" >&2; exit 77; }

# dpkg asks this script before it starts a service: 101 forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
again() { # a mirror may fail for a moment
  local attempt
  for attempt in 1 2 3 4; do
    "$@" && return
    echo "attempt $attempt of 4 failed: $*" >&2
    sleep $((attempt * 5))
  done
  return 1
}
echo "installing: ${absent[*]}"
again apt-get -qq -o DPkg::Lock::Timeout=300 update
again apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install --no-install-recommends "${absent[@]}" > /dev/null
