#!/usr/bin/env bash
# files.sh DIRECTORY: writes the certificates, kubeconfigs and configuration files
# of a node into its state directory. It writes files and does nothing else.
set -euo pipefail
dir=$1
here=$(dirname "${BASH_SOURCE[0]}")
. "$here/parts.sh"
mkdir -p "$dir"/{pki,log/pods,pid,cni,volumes,plugins}

ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30)
certificate() { # NAME SUBJECT ALTERNATIVE-NAMES
  openssl req -x509 "${ec[@]}" -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -subj "$2" -keyout "$dir/pki/$1.key" -out "$dir/pki/$1.crt" \
    -addext "subjectAltName=$3" -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth,clientAuth 2> /dev/null
}
openssl req -x509 "${ec[@]}" -subj /CN=test-authority -keyout "$dir/pki/ca.key" -out "$dir/pki/ca.crt" 2> /dev/null
certificate server /CN=kube-apiserver "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$node_address,IP:$first_service"
certificate admin /O=system:masters/CN=admin DNS:localhost
certificate kubelet /O=system:nodes/CN=system:node:node0 "DNS:node0,IP:$node_address,IP:127.0.0.1"
openssl ecparam -name prime256v1 -genkey -noout -out "$dir/pki/accounts.key"

kubeconfig() { # NAME CERTIFICATE
  cat > "$dir/$1.kubeconfig" << K
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $dir/pki/ca.crt}}]
users: [{name: test, user: {client-certificate: $dir/pki/$2.crt, client-key: $dir/pki/$2.key}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
K
}
kubeconfig inside admin
kubeconfig kubelet kubelet

cat > "$dir/containerd.toml" << C
version = 2
root = "$dir/containerd"
state = "/run/containerd-state" # on the node's own /run: socket paths must stay short
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE runc cannot lower it
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
C
cat > "$dir/cni/10-pods.conflist" << C
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$dir/ipam", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
cat > "$dir/kubelet.yaml" << C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /${dir##*/}
containerRuntimeEndpoint: unix://$dir/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/kubelet.crt
tlsPrivateKeyFile: $dir/pki/kubelet.key
clusterDomain: cluster.local
clusterDNS: [$node_address]
resolvConf: $dir/resolv.conf
podLogsDir: $dir/log/pods
volumePluginDir: $dir/plugins
failSwapOn: false
maxPods: 250
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: 50Mi}
imageGCHighThresholdPercent: 100
shutdownGracePeriod: 0s
C
echo "nameserver $node_address" > "$dir/resolv.conf"
cat > "$dir/kube-proxy.yaml" << C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $dir/inside.kubeconfig}
mode: iptables
iptables: {minSyncPeriod: 100ms}
clusterCIDR: $pods
hostnameOverride: node0
conntrack: {maxPerCore: 0} # the limit is the whole machine's
C
# Names under test.internal are written by tests into the file "hosts".
touch "$dir/hosts"
cat > "$dir/Corefile" << C
cluster.local:53 {
  bind $node_address
  errors
  ready $node_address:8181
  kubernetes cluster.local {
    endpoint https://127.0.0.1:6443
    kubeconfig $dir/inside.kubeconfig test
    ttl 1
  }
}
test.internal:53 {
  bind $node_address
  hosts $dir/hosts {
    ttl 1
    reload 500ms
  }
}
.:53 {
  bind $node_address
  template ANY ANY {
    rcode NXDOMAIN
  }
}
C
