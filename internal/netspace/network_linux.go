package netspace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// mostHosts is how many hosts a network has: each has a network of 254 addresses in 198.19.0.0/16, a range for tests of networks (RFC 2544).
const mostHosts = 254

// HostAddresses is how many addresses a host has.
const HostAddresses = 3

// Network is hosts around this process, which routes between them. Its methods can be called at once.
type Network struct {
	mu    sync.Mutex
	hosts int              // guarded by mu
	all   []*Host          // guarded by mu
	cuts  map[[2]*Host]int // guarded by mu: how many want it cut
}

// Host is a namespace in a network.
type Host struct {
	*Space
	Name   string
	number int
}

// Addr is one of the host's addresses: the first is 1.
func (h *Host) Addr(n int) string { return fmt.Sprintf("198.19.%d.%d", h.number, n) }

// NewNetwork makes a network without hosts. The process has to be alone in its network namespace: Relocated.
func NewNetwork() (*Network, error) {
	if !Inside() {
		return nil, errors.New("netspace: make a network: this process is not in a network namespace of its own")
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1\n"), 0o644); err != nil {
		return nil, fmt.Errorf("netspace: route between hosts: %w", err)
	}
	return &Network{cuts: make(map[[2]*Host]int)}, nil
}

// Add makes one more host.
func (n *Network) Add(name string) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hosts++; n.hosts > mostHosts {
		return nil, fmt.Errorf("netspace: add a host: there are %d", mostHosts)
	}
	h := &Host{Name: name, number: n.hosts}
	var err error
	if h.Space, err = New(func() error { return nil }); err != nil {
		return nil, err
	}
	device := h.device()
	err = ip(
		fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", device, os.Getpid(), h.fd.Fd()),
		fmt.Sprintf("addr add 198.19.%d.254/24 dev %s", h.number, device),
		fmt.Sprintf("link set %s up", device))
	if err == nil {
		inside := []string{"link set lo up", "link set eth0 up"}
		for i := range HostAddresses {
			inside = append(inside, fmt.Sprintf("addr add %s/24 dev eth0", h.Addr(i+1)))
		}
		inside = append(inside, fmt.Sprintf("route add default via 198.19.%d.254", h.number))
		err = h.Do(func() error { return ip(inside...) })
	}
	if err != nil {
		return nil, fmt.Errorf("netspace: add %s: %w", name, errors.Join(err, h.Close()))
	}
	n.all = append(n.all, h)
	return h, nil
}

// device is the host's at this process.
func (h *Host) device() string { return fmt.Sprintf("host%d", h.number) }

// Cut drops whatever from sends to another host, without telling either, until Heal was called as often as Cut.
func (n *Network) Cut(from, to *Host) error { return n.change(from, to, 1) }

// Heal ends a Cut.
func (n *Network) Heal(from, to *Host) error { return n.change(from, to, -1) }

func (n *Network) change(from, to *Host, by int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	pair := [2]*Host{from, to}
	had := n.cuts[pair]
	n.cuts[pair] += by
	verb := ""
	switch has := n.cuts[pair]; {
	case had == 0 && has > 0:
		verb = "add"
	case had > 0 && has == 0:
		verb = "del"
	default:
		return nil
	}
	return rule(verb, from, to)
}

// rule adds or deletes the rule that nothing passes. What a blackhole takes on its way through is dropped in silence, of connections that
// there are, too.
func rule(verb string, from, to *Host) error {
	if err := ip(fmt.Sprintf("rule %s pref 100 iif %s to 198.19.%d.0/24 blackhole", verb, from.device(), to.number)); err != nil {
		return fmt.Errorf("netspace: cut or heal %s to %s: %w", from.Name, to.Name, err)
	}
	return nil
}

// Close gives all hosts up.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for pair, has := range n.cuts {
		if has > 0 {
			errs = append(errs, rule("del", pair[0], pair[1]))
		}
	}
	for _, h := range n.all {
		errs = append(errs, ip("link del "+h.device()), h.Close()) // the kernel takes its time with what is in a namespace
	}
	n.all, n.cuts = nil, nil
	return errors.Join(errs...)
}

// ip runs commands of ip(8) in the namespace of the calling thread.
func ip(commands ...string) error {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ip: %w: %s of %q", err, strings.TrimSpace(said.String()), commands)
	}
	return nil
}
