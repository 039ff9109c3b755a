#!/usr/bin/env bash
# Builds the programs and images that tests need and prints where they are:
#   tools.sh kubernetes   directory with etcd, kube-apiserver, kubelet, …, kubectl
#   tools.sh helm         directory with helm
#   tools.sh pause        archive of the pause image, localhost/pause:1
#   tools.sh base         archive of the base image with Node.js, localhost/node:26
#   tools.sh relay        archive of the project's own image, localhost/mailrelay:test
# Everything is kept outside the repository, named by the hash of what it was
# made from, and appears there whole or not at all: two callers may build at the
# same time, and a build that was cut short leaves nothing behind.
#   MAILRELAY_CACHE   the directory (default ~/.cache/mailrelay)
set -euo pipefail
shopt -s inherit_errexit
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
cache=${MAILRELAY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mailrelay}

kubernetes_version=1.34.4 # newer kubelets refuse cgroup v1 by default
helm_version=v3.19.5      # the minor release made for Kubernetes 1.34

say() { printf '%s\n' "$*" >&2; }
die() { say "$0: $*"; exit 69; } # EX_UNAVAILABLE: callers count this as a skip

need() { # PROGRAM PACKAGE: a program of a Debian package
  local program=$1 package=$2
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" > /dev/null || "$repository/test/setup/packages.sh" "$package" >&2 ||
    die "$program is missing: install the package $package, or run npm run test:setup as root"
}

# made NAME MAKER KEY...: prints the directory that `MAKER directory` filled for
# this KEY, after making it if need be. The three of each name that were used last are kept.
made() {
  local name=$1 maker=$2 key directory unfinished
  shift 2
  key=$(printf '%s\n' "$@" | sha256sum)
  directory=$cache/$name-${key:0:16}
  if [ ! -d "$directory" ]; then
    mkdir -p "$cache"
    (
      flock 9
      [ -d "$directory" ] && exit
      rm -rf "$cache/unfinished-$name".*
      unfinished=$(mktemp -d "$cache/unfinished-$name.XXXXXX")
      trap 'rm -rf "$unfinished"' EXIT
      say "making $name (kept in $directory) …"
      SECONDS=0
      (set -e; "$maker" "$unfinished" 9>&-) >&2
      chmod 755 "$unfinished"
      mv -T "$unfinished" "$directory"
      say "made $name in $SECONDS s"
      find "$cache" -maxdepth 1 -name "$name-*" -type d -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
    ) 9> "$cache/$name.lock"
  else
    touch -c "$directory"
  fi
  echo "$directory"
}

contents() { cat "$@" | sha256sum; }

# --- programs from Go modules -------------------------------------------------
go_program() { command -v go > /dev/null || die 'Go is missing: the test cluster is built from Go modules'; }

kubernetes_flags=(-trimpath -buildvcs=false -ldflags "-s -w
  -X k8s.io/component-base/version.gitVersion=v$kubernetes_version
  -X k8s.io/component-base/version.gitMajor=${kubernetes_version%%.*}
  -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<< "$kubernetes_version")")

make_kubernetes() { # 5 to 6 minutes on two cores with nothing cached
  local program
  go_program
  say 'building Kubernetes from Go modules: minutes the first time, seconds later'
  (cd "$here/hyperkube" && CGO_ENABLED=0 go build "${kubernetes_flags[@]}" -o "$1/hyperkube" .)
  for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kube-router coredns kubectl; do
    ln -s hyperkube "$1/$program"
  done
}
kubernetes() { made kubernetes make_kubernetes "${kubernetes_flags[*]}" "$(contents "$here"/hyperkube/*)"; }

make_helm() { go_program; CGO_ENABLED=0 GOBIN=$1 GOFLAGS=-trimpath go install -ldflags '-s -w' "helm.sh/helm/v3/cmd/helm@$helm_version"; }
helm() { made helm make_helm "$helm_version"; }

# --- images -------------------------------------------------------------------
# Their own image store, so that nobody's images are touched. vfs and chroot
# isolation work where overlay mounts and namespaces do not.
images() {
  STORAGE_DRIVER=vfs buildah --root "$1/.store" --runroot "$1/.run" "${@:2}"
}
archive() { # DIRECTORY IMAGE: writes image.tar and removes the store
  images "$1" push -q "$2" "docker-archive:$1/image.tar:$2"
  rm -rf "$1/.store" "$1/.run"
}
archive_in() { # the archive in the directory that comes on standard input
  local directory
  read -r directory && echo "$directory/image.tar"
}
image_from_tree() { # DIRECTORY TREE IMAGE CONFIGURATION...
  local container
  container=$(images "$1" from scratch)
  images "$1" add -q "$container" "$2" / > /dev/null
  images "$1" config "${@:4}" "$container"
  images "$1" commit -q "$container" "$3" > /dev/null
  images "$1" rm "$container" > /dev/null
}

make_pause() {
  need buildah buildah
  need cc gcc
  mkdir "$1/tree"
  cc -O2 -static -s -o "$1/tree/pause" "$here/pause.c"
  image_from_tree "$1" "$1/tree" localhost/pause:1 --entrypoint '["/pause"]' --user 65535:65535
  rm -rf "$1/tree"
  archive "$1" localhost/pause:1
}
pause() { made pause make_pause "$(contents "$here/pause.c")" | archive_in; }

make_base() {
  need buildah buildah
  need debootstrap debootstrap
  debootstrap --variant=minbase --include=ca-certificates,libatomic1,libstdc++6 bookworm "$1/tree" > "$1/debootstrap.log" 2>&1 || { tail -n 20 "$1/debootstrap.log"; return 1; }
  rm -rf "$1"/tree/var/{cache/apt,lib/apt/lists,log}/* "$1"/tree/usr/share/{doc,man,info,locale}/*
  install -m 755 "$repository/node_modules/node/bin/node" "$1/tree/usr/local/bin/node"
  image_from_tree "$1" "$1/tree" localhost/node:26 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd node
  rm -rf "$1/tree"
  archive "$1" localhost/node:26
}
base() { made base make_base "$(declare -f make_base)" "$(cat "$repository/node_modules/node/package.json")" | archive_in; }

make_relay() { # needs `npm ci`, for the bundler and the base image's Node.js
  need buildah buildah
  mkdir "$1/context"
  cp "$repository/Dockerfile" "$1/context"
  cp -r "$relay_dist" "$1/context/dist"
  images "$1" pull -q "docker-archive:$relay_base" > /dev/null
  images "$1" build -q --isolation chroot --pull-never --build-arg BASE_IMAGE=localhost/node:26 -t localhost/mailrelay:test "$1/context"
  rm -rf "$1/context"
  archive "$1" localhost/mailrelay:test
}
relay() { # needs `npm ci`, for the bundler and the base image's Node.js
  relay_base=$(base)
  relay_dist=$(mktemp -d)
  trap 'rm -rf "$relay_dist"' EXIT
  "$repository/node_modules/.bin/node" "$repository/bundle.ts" "$relay_dist" >&2
  made relay make_relay "$relay_base" "$(contents "$repository/Dockerfile" "$relay_dist"/*)" | archive_in
}

case ${1-} in
  kubernetes | helm | pause | base | relay) "$1" ;;
  *) say "usage: $0 kubernetes|helm|pause|base|relay"; exit 64 ;;
esac
