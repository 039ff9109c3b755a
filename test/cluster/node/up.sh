#!/usr/bin/env bash
# up.sh NAME: brings up a node of that name, or finds it up, and waits until it is
# Ready. What an earlier node of that name left behind is removed first.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/parts.sh"
. "$here/place.sh" "$1"
export PATH=$PATH:/usr/sbin:/sbin

programs=$("$here/../tools.sh" kubernetes)
pause=$("$here/../tools.sh" pause)
base=$("$here/../tools.sh" base)
for program in containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins ip:iproute2 iptables:iptables ipset:ipset conntrack:conntrack nsenter:util-linux; do
  command -v "${program%:*}" > /dev/null || "$here/../../setup/packages.sh" "${program#*:}" >&2
done

# One start of a name at a time. Names are mostly used once, so every start removes the locks that nobody holds; a lock
# that was removed between being opened and being held is no lock, and is taken again.
cache=$(dirname "$(dirname "$pause")")
lock=$cache/node-$name.lock
until [ "$(stat -Lc %i /proc/self/fd/8 2> /dev/null)" = "$(stat -c %i "$lock" 2> /dev/null || echo none)" ]; do
  exec 8> "$lock"
  flock 8
done
for other in "$cache"/node-*.lock; do
  [ "$other" = "$lock" ] || flock --nonblock --no-fork "$other" rm "$other" 2> /dev/null || true
done
if answers; then exit 0; fi
"$here/down.sh" "$1" 8>&-

fail() {
  local log
  echo "the cluster did not start: $*" >&2
  for log in "$dir"/log/*.log; do
    [ -s "$log" ] || continue
    echo "--- the end of $log" >&2
    tail -n 12 "$log" | cut -c1-300 >&2
  done
  "$here/down.sh" "$name" 8>&- || true
  exit 1
}
wait_for() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || fail "$what took too long"
    [ ! -e "$dir/pid/init" ] || alive || fail 'its first process ended'
    sleep 0.1
  done
}

"$here/files.sh" "$dir"
mkdir "$dir/images"
ln "$pause" "$dir/images/pause.tar" 2> /dev/null || cp "$pause" "$dir/images/pause.tar"
ln "$base" "$dir/images/base.tar" 2> /dev/null || cp "$base" "$dir/images/base.tar"
make_cgroups
setsid unshare --mount --pid --net --fork --propagation private "$here/init.sh" "$dir" "$programs" > "$dir/log/init.log" 2>&1 < /dev/null 8>&- &
wait_for 10 'its first process' [ -e "$dir/pid/init" ]
wait_for 60 'etcd' [ -e "$dir/pid/kube-apiserver" ]
setsid "$node_program" "$here/doorway.ts" open "$(init)" "$dir" > "$dir/log/doorway.log" 2>&1 < /dev/null 8>&- || fail 'no way in from outside'
sed "s#https://127.0.0.1:6443#https://127.0.0.1:$(cat "$dir/doorway")#" "$dir/inside.kubeconfig" > "$dir/kubeconfig"
kubectl=("$programs/kubectl" --kubeconfig "$dir/kubeconfig")
wait_for 120 'the node' "${kubectl[@]}" wait --for=condition=Ready node/node0 --timeout=1s
wait_for 30 'the default service account' "${kubectl[@]}" get serviceaccount default
wait_for 60 'the base image' [ -e "$dir/images/done" ]
wait_for 30 'cluster DNS' inside curl -fs -o /dev/null "http://$node_address:8181/ready"
"${kubectl[@]}" apply -f "$here/storage.yaml" > /dev/null
ln -sfn "$programs" "$dir/programs"
touch "$dir/ready"
