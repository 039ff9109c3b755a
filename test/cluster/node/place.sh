# Where a node named $1 keeps its state and how to reach it; sourced by the other
# scripts here. Not under /tmp, which may be in memory: images are large.
name=$1
dir=/var/tmp/mailrelay-$name
node_program=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)/node_modules/.bin/node

# The process id, seen from outside, of the node's first process.
init() { cat "$dir/pid/init"; }

# Whether that process runs and is this node's, not another that got its number.
alive() {
  local pid
  pid=$(init 2> /dev/null) && tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF "init.sh $dir "
}

# inside COMMAND...: runs a command in the node's network. (Not `ip netns exec`,
# which would mount another /sys, without the cgroups.)
inside() { nsenter --target "$(init)" --net -- "$@"; }

# Whether it came up whole and its API server is ready.
answers() {
  alive && [ -e "$dir/ready" ] &&
    inside timeout 10 "$dir/programs/kubectl" --kubeconfig "$dir/inside.kubeconfig" get --raw /readyz > /dev/null 2>&1
}

# The node's own branch of every cgroup hierarchy; kubelet works below it.
cgroups() {
  local hierarchy
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/${dir##*/}"
  else
    for hierarchy in /sys/fs/cgroup/*/; do [ -L "${hierarchy%/}" ] || echo "$hierarchy${dir##*/}"; done
  fi
}
make_cgroups() {
  local branch file
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    sed 's/\([a-z]\+\)/+\1/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control || true
  fi
  for branch in $(cgroups); do
    mkdir -p "$branch"
    for file in cpuset.cpus cpuset.mems; do # of cgroup v1, where they start empty
      [ ! -e "$branch/../$file" ] || [ -e /sys/fs/cgroup/cgroup.controllers ] || cat "$branch/../$file" > "$branch/$file"
    done
  done
}
