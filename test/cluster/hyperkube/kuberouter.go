package main

import (
	"context"
	"fmt"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/cobra"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// newKubeRouterCommand is kube-router's firewall, which enforces NetworkPolicies
// by iptables and ipset, without its router and Service proxy, which would bring
// BGP and container engines along. It takes kube-router's own flags. Unlike
// kube-router it lifts what it enforced when it is told to end (SIGTERM).
func newKubeRouterCommand() *cobra.Command {
	config := options.NewKubeRouterConfig()
	command := &cobra.Command{
		Use:           "kube-router",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return runFirewall(config) },
	}
	config.AddFlags(command.Flags())
	return command
}

func runFirewall(config *options.KubeRouterConfig) error {
	connection, err := clientcmd.BuildConfigFromFlags(config.Master, config.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(connection)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	var ipsets sync.Mutex
	newController := func() (*netpol.NetworkPolicyController, error) {
		iptablesHandlers, ipsetHandlers, err := netpol.NewIPTablesHandlers(config)
		if err != nil {
			return nil, err
		}
		return netpol.NewNetworkPolicyController(client, config, pods, policies, namespaces, &ipsets, iptablesHandlers, ipsetHandlers)
	}
	controller, err := newController()
	if err != nil {
		return err
	}
	stop, release := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer release()
	factory.Start(stop.Done())
	for kind, synced := range factory.WaitForCacheSync(stop.Done()) {
		if !synced {
			return fmt.Errorf("%v: not read before the end", kind)
		}
	}
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: controller.PodEventHandler, policies: controller.NetworkPolicyEventHandler, namespaces: controller.NamespaceEventHandler,
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	heartbeats := make(chan *healthcheck.ControllerHeartbeat)
	go func() {
		for range heartbeats { // the controller waits until each is taken
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	controller.Run(heartbeats, stop.Done(), &running)
	running.Wait()
	cleaner, err := newController() // one that has run counts its old rules as somebody else's
	if err != nil {
		return err
	}
	cleaner.Cleanup()
	return nil
}
