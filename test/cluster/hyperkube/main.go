// Command hyperkube is one binary with every program of a real Kubernetes:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubelet,
// kube-proxy, CoreDNS and kubectl, and kube-router's enforcement of
// NetworkPolicies. The name that it is called by, or else its first argument,
// selects the program. It exists so that tests have a real cluster on machines
// with Go but without a container engine.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// commands holds the programs that are Cobra commands.
var commands = map[string]func() *cobra.Command{
	"kube-apiserver":          func() *cobra.Command { return apiserver.NewAPIServerCommand() },
	"kube-controller-manager": func() *cobra.Command { return controllermanager.NewControllerManagerCommand() },
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":              func() *cobra.Command { return kubeproxy.NewProxyCommand() },
	"kube-router":             func() *cobra.Command { return newKubeRouterCommand() },
}

func main() {
	program := filepath.Base(os.Args[0])
	if program == "hyperkube" && len(os.Args) > 1 {
		program = os.Args[1]
		os.Args = append([]string{program}, os.Args[2:]...)
	}
	switch program {
	case "coredns":
		runCoreDNS(os.Args[1:])
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	default:
		newCommand, known := commands[program]
		if !known {
			fmt.Fprintf(os.Stderr, "hyperkube: %q is none of its programs\n", program)
			os.Exit(2)
		}
		os.Exit(cli.Run(newCommand()))
	}
}
