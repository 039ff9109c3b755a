# The parts of a node and their command lines; sourced by the other scripts here.
# Every address exists only inside the cluster's own network namespace, so that
# clusters can have the same ones side by side.
node_address=10.90.0.1 services=10.91.0.0/16 first_service=10.91.0.1 pods=10.92.0.0/24

# part NAME: becomes that part. $dir is the state directory, $programs holds the binaries. A node that is up runs all
# of them but kube-router, which enforces NetworkPolicies: the test that is about these starts it, and no other does,
# because it rewrites a whole table of the kernel that kube-proxy writes to as well.
part() {
  local pki=$dir/pki
  case $1 in
    etcd) exec "$programs/etcd" --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn \
      --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 ;;
    kube-apiserver) exec "$programs/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --advertise-address "$node_address" --secure-port 6443 \
      --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" --client-ca-file "$pki/ca.crt" \
      --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/accounts.key" --service-account-signing-key-file "$pki/accounts.key" \
      --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key" --kubelet-certificate-authority "$pki/ca.crt" \
      --kubelet-preferred-address-types InternalIP --service-cluster-ip-range "$services" --authorization-mode Node,RBAC --allow-privileged ;;
    kube-controller-manager) exec "$programs/kube-controller-manager" --kubeconfig "$dir/inside.kubeconfig" --root-ca-file "$pki/ca.crt" \
      --service-account-private-key-file "$pki/accounts.key" --use-service-account-credentials --leader-elect=false --bind-address 127.0.0.1 ;;
    kube-scheduler) exec "$programs/kube-scheduler" --kubeconfig "$dir/inside.kubeconfig" --leader-elect=false --bind-address 127.0.0.1 ;;
    containerd) exec containerd --config "$dir/containerd.toml" ;;
    kubelet) exec "$programs/kubelet" --config "$dir/kubelet.yaml" --kubeconfig "$dir/kubelet.kubeconfig" --hostname-override node0 \
      --node-ip "$node_address" --root-dir "$dir/kubelet" --cert-dir "$dir/kubelet-pki" ;;
    kube-proxy) exec "$programs/kube-proxy" --config "$dir/kube-proxy.yaml" ;;
    coredns) exec "$programs/coredns" -conf "$dir/Corefile" ;;
    # Ports of the node that Services may have are open to every pod, whatever its policies: only those, then, that no test's provider has.
    kube-router) exec "$programs/kube-router" --kubeconfig "$dir/inside.kubeconfig" --hostname-override node0 --service-cluster-ip-range "$services" \
      --service-node-port-range 32000-32767 ;;
    *) echo "no such part: $1" >&2; exit 64 ;;
  esac
}

# start NAME: runs a part in the background; its process id in this process
# namespace goes to pid/NAME and what it prints to log/NAME.log.
start() {
  (part "$1") >> "$dir/log/$1.log" 2>&1 < /dev/null &
  echo $! > "$dir/pid/$1"
}
