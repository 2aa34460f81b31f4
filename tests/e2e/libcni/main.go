// The plugin called by libcni, the library of container runtimes: what containerd 2 does with it, from the command line.
//
//	libcni CONF-DIR BIN-DIR CACHE-DIR NETWORK VERB [CONTAINER NETNS IFNAME [CAPABILITIES]]
//	libcni CONF-DIR BIN-DIR CACHE-DIR NETWORK gc [CONTAINER IFNAME]...
//
// The verbs are add (prints the result), check, del, status, and gc with the attachments that are valid. CAPABILITIES is JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		var refused *types.Error
		if errors.As(err, &refused) {
			fmt.Fprintf(os.Stderr, "code %d: ", refused.Code)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 5 {
		return errors.New("usage: libcni CONF-DIR BIN-DIR CACHE-DIR NETWORK VERB [ARGUMENT]...")
	}
	list, err := libcni.LoadNetworkConf(args[0], args[3])
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{args[1]}, args[2], nil)
	verb, about, ctx := args[4], args[5:], context.Background()
	switch verb {
	case "status":
		return cni.GetStatusNetworkList(ctx, list)
	case "gc":
		return cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid(about)})
	}
	container, err := runtimeConf(about)
	if err != nil {
		return err
	}
	switch verb {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, container)
		if err != nil {
			return err
		}
		return result.PrintTo(os.Stdout)
	case "check":
		return cni.CheckNetworkList(ctx, list, container)
	case "del":
		return cni.DelNetworkList(ctx, list, container)
	}
	return fmt.Errorf("no verb %q", verb)
}

// valid makes attachments of pairs of a container and an interface's name.
func valid(pairs []string) []types.GCAttachment {
	attachments := []types.GCAttachment{}
	for at := 0; at+1 < len(pairs); at += 2 {
		attachments = append(attachments, types.GCAttachment{ContainerID: pairs[at], IfName: pairs[at+1]})
	}
	return attachments
}

func runtimeConf(about []string) (*libcni.RuntimeConf, error) {
	if len(about) < 3 {
		return nil, errors.New("which CONTAINER, NETNS and IFNAME?")
	}
	conf := &libcni.RuntimeConf{
		ContainerID: about[0], NetNS: about[1], IfName: about[2],
		Args: [][2]string{
			{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", about[0]},
		},
	}
	if len(about) > 3 {
		if err := json.Unmarshal([]byte(about[3]), &conf.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("CAPABILITIES: %w", err)
		}
	}
	return conf, nil
}
