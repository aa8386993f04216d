package ramen

import (
	"maps"
	"time"

	"ramen/protocol"
)

// Version is this client's, as it tells the server.
const Version = "1.0.0"

// mostLabels of a context, SPEC 1.1.3.
const mostLabels = 16

// named is c with the labels that say which client this is, unless the app has set them or there is no room. clients/SPEC.md C 13.4
func named(c *protocol.DeviceContext) *protocol.DeviceContext {
	of := map[string]string{"client": "go", "client_version": Version}
	n := protocol.DeviceContext{}
	if c != nil {
		n = *c
	}
	labels := maps.Clone(of)
	maps.Copy(labels, n.Labels)
	if len(labels) > mostLabels {
		return c
	}
	n.Labels = labels
	if protocol.CheckContext(&n) != nil {
		return c
	}
	return &n
}

// Network is what the platform says of the device's network.
type Network struct {
	Online  bool `json:"online"`  // there is one
	Changed bool `json:"changed"` // it is another than before: connections over the old one may be dead
}

// networkBack is within which time of the network's return a device that was offline comes back.
const networkBack = time.Second

// SetNetwork tells the device what the platform says of the network: without one, nothing is opened until there is one again. A stream
// that lives is kept: it goes on, or its silence tells. Before the first call there is a network.
func (d *Device) SetNetwork(n Network) {
	d.mu.Lock()
	d.renewed = d.renewed || n.Changed
	d.network = n
	d.mu.Unlock()
	signal(d.told)
}

// Reconnect ends the pause before the next opening, if there is one.
func (d *Device) Reconnect() {
	d.mu.Lock()
	d.hurry = true
	d.mu.Unlock()
	signal(d.told)
}

// fault tells the app what went wrong on its side.
func (d *Device) fault(of string, err error) {
	if d.cfg.OnError != nil {
		d.cfg.OnError(of, err)
	}
}

// platform takes over what the app has said of the network, or wants.
func (k *keeper) platform() {
	d := k.d
	d.mu.Lock()
	online, hurry, changed := d.network.Online, d.hurry, d.renewed
	d.hurry, d.renewed = false, false
	d.mu.Unlock()
	idle := k.live == nil && k.opening == nil
	switch {
	case !online:
		if k.offline = true; idle && k.reopen.isSet() {
			k.reopen.stop()
			d.enter(StateChange{State: StateOffline})
		}
	case k.offline || changed && idle:
		k.offline = false
		if idle {
			delay := k.backoff.Within(networkBack)
			k.reopen.set(delay)
			d.enter(StateChange{State: StateWaiting, Transport: k.choice.current(), Delay: delay})
		}
	}
	if hurry && idle && k.reopen.isSet() {
		k.reopen.set(0)
	}
	if changed && k.live != nil && k.live.dog != nil {
		k.live.dog.prove()
	}
}
