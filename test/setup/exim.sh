#!/usr/bin/env bash
# Prints the path of Exim's program, after unpacking Debian's package the first
# time. It is not installed: Debian allows one mail server at a time, and that is
# Postfix. Kept in MAILRELAY_CACHE (default ~/.cache/mailrelay), beside no other file.
set -euo pipefail
cache=${MAILRELAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mailrelay}
directory=$cache/exim
program=$directory/usr/sbin/exim4
fail() { echo "exim.sh: $*" >&2; exit 69; }

mkdir -p "$cache"
exec 9> "$cache/exim.lock"
flock 9
if [ ! -x "$program" ]; then
  command -v apt-get > /dev/null || fail 'this is no Debian system: no Exim'
  unfinished=$(mktemp -d)
  trap 'rm -rf "$unfinished"' EXIT
  cd "$unfinished"
  download() { apt-get -qq -o APT::Sandbox::User=root download exim4-daemon-light; }
  download 2> /dev/null || { apt-get -qq -o DPkg::Lock::Timeout=300 update && download; } >&2 ||
    fail 'exim4-daemon-light could not be downloaded'
  dpkg-deb --extract ./*.deb tree
  rm -rf "$directory"
  cp -r tree "$directory"
fi
lacking=$(ldd "$program" | sed -n 's/^\s*\(\S*\) => not found/\1/p' | xargs)
[ -z "$lacking" ] || fail "Exim lacks libraries: $lacking; run npm run test:setup as root"
echo "$program"
