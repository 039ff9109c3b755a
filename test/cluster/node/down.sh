#!/usr/bin/env bash
# down.sh NAME: removes the node of that name, whatever state it is in. Its
# processes, mounts and network end with its first process; the cgroups and the
# state directory are removed here. Not an error when there is none.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/place.sh" "$1"
[ -n "$name" ] || exit 64

if alive; then
  pid=$(init)
  kill -KILL "$pid"
  for _ in $(seq 300); do [ -d "/proc/$pid" ] && grep -q '^State:[^Z]*$' "/proc/$pid/status" 2> /dev/null && sleep 0.1 || break; done
fi
for branch in $(cgroups); do
  [ -d "$branch" ] || continue
  for _ in $(seq 50); do # the kernel takes a moment to let go of a group whose processes have ended
    find "$branch" -depth -type d -exec rmdir {} + 2> /dev/null
    [ -d "$branch" ] || break
    sleep 0.1
  done
done
rm -rf "$dir"
[ ! -e "$dir" ]
