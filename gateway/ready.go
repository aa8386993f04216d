package gateway

import (
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// ErrNotServing is the answer of a gateway that owns nothing: streams and publishes of its users find no owner.
var ErrNotServing = errors.New("gateway: this process owns no users")

// Serving answers nil while the gateway owns users, whatever their publishes are answered.
func (g *Gateway) Serving() error {
	for i := range g.shards {
		if own := g.shards[i].own.Load(); own != nil && own.gate() == nil {
			return nil
		}
	}
	return ErrNotServing
}

// Ready answers nil while publishes of high priority are taken, or says why none are now. It counts as no refusal. SPEC 8.
func (g *Gateway) Ready() error {
	if err := g.Serving(); err != nil {
		return err
	}
	high := protocol.PriorityHigh
	if used, most := g.common.Ledger.Memory.Load(), g.cfg.MemoryBytes*memoryShare[high.Lane()]/100; used > most {
		return fmt.Errorf("gateway: memory for waiting messages is full: %d of %d bytes", used, most)
	}
	switch s := g.store.(type) {
	case store.Readier:
		return s.Ready()
	case store.Admitter:
		return s.Admit(high)
	}
	return nil
}
