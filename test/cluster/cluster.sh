#!/usr/bin/env bash
# The Kubernetes cluster that end-to-end tests run on: the one you name, else kind,
# else a real one built from Go modules in network, process and mount namespaces of
# its own (Linux, root).
#   cluster.sh which             prints given, kind or own; fails with a reason when none is possible
#   cluster.sh up                brings it up (finds it up), leaves it up
#   cluster.sh down              removes it and everything it left
#   cluster.sh shell [COMMAND…]  a shell, or a command, that has kubectl, helm and the cluster's network
#   cluster.sh hold              brings it up, prints "up", and removes it when standard input ends
#   cluster.sh isup              succeeds when it is up
#   cluster.sh image             builds the project's image from the working tree, puts it into the cluster, prints its name
#   cluster.sh tag FROM TO       gives an image in the cluster a second name
#   cluster.sh part stop|start NAME [SIGNAL]   own clusters: one program, such as kube-apiserver
#   MAILRELAY_TEST_KUBECONFIG    kubeconfig of the cluster to use
#   MAILRELAY_TEST_CLUSTER       kind or own: no other choice
#   MAILRELAY_CLUSTER            the cluster's name (default dev); several can be up
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
name=${MAILRELAY_CLUSTER:-dev}
cache=${MAILRELAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mailrelay}
export PATH=$PATH:/usr/sbin:/sbin
. "$here/node/place.sh" "$name"
. "$here/node/parts.sh"
image=localhost/mailrelay:test

unavailable() { echo "no Kubernetes for tests: $*" >&2; exit 69; }
kind_works() { command -v kind > /dev/null && command -v docker > /dev/null && timeout 10 docker info > /dev/null 2>&1; }
own_obstacle() { # prints why this machine cannot have our own cluster, or nothing
  [ "$(uname)" = Linux ] || { echo "our own needs Linux, not $(uname)"; return; }
  [ "$(id -u)" = 0 ] || { echo 'our own needs root, for namespaces and mounts'; return; }
  command -v go > /dev/null || compgen -G "$cache/kubernetes-*" > /dev/null || { echo 'our own needs Go, to build Kubernetes from'; return; }
  unshare --mount --pid --net --fork true 2> /dev/null || echo 'our own needs the right to make namespaces'
}
which_one() {
  local obstacle
  if [ -n "${MAILRELAY_TEST_KUBECONFIG-}" ]; then
    [ -r "$MAILRELAY_TEST_KUBECONFIG" ] || unavailable "MAILRELAY_TEST_KUBECONFIG=$MAILRELAY_TEST_KUBECONFIG must be a file that can be read"
    echo given
    return
  fi
  case ${MAILRELAY_TEST_CLUSTER-} in
    kind) kind_works || unavailable 'kind is demanded by MAILRELAY_TEST_CLUSTER, but kind and a running Docker are not both here'; echo kind; return ;;
    own | '') ;;
    *) unavailable "MAILRELAY_TEST_CLUSTER=$MAILRELAY_TEST_CLUSTER must be kind or own" ;;
  esac
  if [ -z "${MAILRELAY_TEST_CLUSTER-}" ] && kind_works; then echo kind; return; fi
  obstacle=$(own_obstacle)
  [ -z "$obstacle" ] || unavailable "MAILRELAY_TEST_KUBECONFIG is not set, kind with Docker is not here, and $obstacle"
  echo own
}

sort=$(which_one)
case $sort in
  given) kubeconfig=$MAILRELAY_TEST_KUBECONFIG ;;
  kind) kubeconfig=$cache/kind-$name.kubeconfig ;;
  own) kubeconfig=$dir/kubeconfig ;;
esac
only_own() { [ "$sort" = own ] || { echo "cluster.sh $*: only for our own cluster, and this one is $sort" >&2; exit 64; }; }
in_node() { nsenter --target "$(init)" --net --mount --pid -- "$@"; }
containers() { in_node ctr -a "$dir/containerd.sock" -n k8s.io "$@"; }

isup() {
  case $sort in
    given) true ;;
    kind) kind get clusters 2> /dev/null | grep -qx "mailrelay-$name" && [ -r "$kubeconfig" ] ;;
    own) answers ;;
  esac
}
up() {
  case $sort in
    given) ;;
    kind) mkdir -p "$cache"; isup || kind create cluster --name "mailrelay-$name" --config "$repository/kind-config.yaml" --kubeconfig "$kubeconfig" --wait 120s >&2 ;;
    own) "$here/node/up.sh" "$name" ;;
  esac
}
down() {
  case $sort in
    given) echo "left alone: the cluster of $kubeconfig is not ours" >&2 ;;
    kind) kind delete cluster --name "mailrelay-$name" --kubeconfig "$kubeconfig" >&2; rm -f "$kubeconfig" ;;
    own) "$here/node/down.sh" "$name" ;;
  esac
}
shell() {
  isup || { echo "cluster $name is not up: npm run cluster:up" >&2; exit 1; }
  [ $# -gt 0 ] || set -- "${SHELL:-bash}"
  PATH=$(dirname "$node_program"):$PATH
  command -v helm > /dev/null || PATH=$("$here/tools.sh" helm):$PATH
  export PATH KUBECONFIG=$kubeconfig MAILRELAY_CLUSTER=$name
  [ "$sort" = own ] || exec "$@"
  export PATH=$dir/programs:$PATH KUBECONFIG=$dir/inside.kubeconfig
  exec nsenter --target "$(init)" --net -- "$@"
}
load_image() {
  local archive
  case $sort in
    given) [ -n "${MAILRELAY_TEST_IMAGE-}" ] || unavailable 'with MAILRELAY_TEST_KUBECONFIG, MAILRELAY_TEST_IMAGE must name an image of this project that the cluster can pull'; image=$MAILRELAY_TEST_IMAGE ;;
    kind)
      "$node_program" "$repository/bundle.ts" >&2
      docker build -q -t "$image" "$repository" >&2
      kind load docker-image --name "mailrelay-$name" "$image" >&2
      ;;
    own)
      archive=$("$here/tools.sh" relay)
      [ "$(cat "$dir/images/relay" 2> /dev/null)" = "$archive" ] || containers images import "$archive" >&2
      echo "$archive" > "$dir/images/relay"
      ;;
  esac
  echo "$image"
}
tag() {
  case $sort in
    given) echo 'tag: a cluster that is not ours has no images of ours' >&2; exit 64 ;;
    kind) docker tag "$1" "$2"; kind load docker-image --name "mailrelay-$name" "$2" >&2 ;;
    own) containers images tag --force "$1" "$2" > /dev/null ;;
  esac
}
part_of_node() { # stop|start NAME [SIGNAL]; what is started must not belong to the caller's process group, which may be killed
  only_own part
  local number
  case $1 in
    stop)
      number=$(cat "$dir/pid/$2")
      in_node bash -c 'kill -"$2" "$1"; for _ in $(seq 300); do kill -0 "$1" 2> /dev/null || exit 0; sleep 0.1; done; exit 1' - "$number" "${3:-KILL}"
      ;;
    start) in_node setsid --wait bash -c '. "$1/node/parts.sh"; dir=$2 programs=$2/programs; start "$3"' - "$here" "$dir" "$2" ;;
    *) exit 64 ;;
  esac
}

task=${1-}
[ $# -eq 0 ] || shift
case $task in
  which) echo "$sort" ;;
  up) up; echo "up ($sort). kubectl: npm run cluster:shell, or KUBECONFIG=$kubeconfig" ;;
  down) down ;;
  shell) shell "$@" ;;
  hold)
    trap down EXIT
    trap '' INT TERM HUP # ends with standard input and with nothing else
    up
    echo up
    cat > /dev/null
    ;;
  isup) isup ;;
  image) load_image ;;
  tag) tag "$@" ;;
  part) part_of_node "$@" ;;
  *) sed -n '2,/^set -e/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 64 ;;
esac
