#!/usr/bin/env bash
# init.sh DIRECTORY PROGRAMS: the first process of a node. It runs in process,
# network and mount namespaces of its own (see up.sh), so whatever is started or
# mounted by the node ends with it, whichever way it ends. It sets up the network,
# starts every part, and reaps.
set -euo pipefail
dir=$1 programs=$2
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/parts.sh"
read -r pid_outside _ < /proc/self/stat # /proc is still the one outside
echo "$pid_outside" > "$dir/pid/init.new"
mv "$dir/pid/init.new" "$dir/pid/init"
mount -t proc proc /proc

# What containers, plug-ins and kubelet write to fixed places goes elsewhere.
mount -t tmpfs tmpfs /run
mkdir -p /run/{lock,netns,user}
for place in /var/lib /var/log; do
  mkdir -p "$dir/places$place" "$dir/places$place.work"
  mount -t overlay overlay -o "lowerdir=$place,upperdir=$dir/places$place,workdir=$dir/places$place.work" "$place"
done
# kubelet sets these for the whole machine unless they already read like this.
mkdir -p "$dir/sysctl"
while read -r name value; do
  [ -e "/proc/sys/$name" ] || continue
  echo "$value" > "$dir/sysctl/${name//\//.}"
  mount --bind "$dir/sysctl/${name//\//.}" "/proc/sys/$name"
done << S
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S

ip link set lo up
ip link add node0 type bridge # a 'dummy' link is not in every kernel
ip address add "$node_address/24" dev node0
ip link set node0 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward

check() { # while coming up, a part that ends is the end of all
  local file
  for file in "$dir"/pid/*; do
    [ "${file##*/}" = init ] || kill -0 "$(cat "$file")" 2> /dev/null || { echo "${file##*/} ended"; exit 1; }
  done
}
for name in etcd kube-apiserver containerd; do start "$name"; done
until [ -S "$dir/containerd.sock" ] && ctr -a "$dir/containerd.sock" version > /dev/null 2>&1; do check; sleep 0.1; done
import_image() { ctr -a "$dir/containerd.sock" -n k8s.io images import "$1" >> "$dir/log/images.log" 2>&1; }
import_image "$dir/images/pause.tar"
until "$programs/kubectl" --kubeconfig "$dir/inside.kubeconfig" get --raw /readyz > /dev/null 2>&1; do check; sleep 0.1; done
for name in kube-controller-manager kube-scheduler kubelet kube-proxy coredns; do start "$name"; done
import_image "$dir/images/base.tar"
touch "$dir/images/done"
while :; do
  wait -n || true
  [ -e "$dir/ready" ] || check
  sleep 0.05 # a shell without children does not wait
done
