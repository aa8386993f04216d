package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/stores"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
)

// How often is looked at who owns what, and how long one look may take.
const (
	gatewaysEvery  = 250 * time.Millisecond
	claimsEvery    = time.Second
	mostLook       = 5 * time.Second // at the store
	mostAsk        = time.Second     // for a gateway, which may be paused
	mostOwnerNotes = 20
)

// owners finds two who own one shard at once. It knows by when a shard was owned at an epoch: by the claims that the store has, and by what
// gateways say that they serve. From then on nobody may serve it at an older epoch, nor somebody else at that one.
//
// What was asked at one moment and answered at a later one was true in between: so an answer is held against what was known when it was
// asked for.
type owners struct {
	note func(format string, args ...any)

	mu     sync.Mutex
	claims map[protocol.ShardID]owned // guarded by mu
	served map[protocol.ShardID]owned // guarded by mu
	looks  int                        // guarded by mu: answers that were held against others
	noted  int                        // guarded by mu
}

// owned is the newest that is known of a shard.
type owned struct {
	epoch protocol.Epoch
	by    string
}

func newOwners(note func(string, ...any)) *owners {
	return &owners{note: note, claims: make(map[protocol.ShardID]owned), served: make(map[protocol.ShardID]owned)}
}

// known is what is known now.
func (o *owners) known() (claims, served map[protocol.ShardID]owned) {
	o.mu.Lock()
	defer o.mu.Unlock()
	claims, served = make(map[protocol.ShardID]owned, len(o.claims)), make(map[protocol.ShardID]owned, len(o.served))
	for id, x := range o.claims {
		claims[id] = x
	}
	for id, x := range o.served {
		served[id] = x
	}
	return claims, served
}

func (o *owners) complainLocked(format string, args ...any) {
	if o.noted++; o.noted <= mostOwnerNotes {
		o.note(format, args...)
	}
}

// serves takes what a gateway says that it serves, held against what was known when it was asked.
func (o *owners) serves(gateway string, shards map[protocol.ShardID]protocol.Epoch, claims, served map[protocol.ShardID]owned) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looks++
	for id, epoch := range shards {
		if c := claims[id]; c.epoch > epoch {
			o.complainLocked("two owners: %s serves shard %d at epoch %d, and the store had it claimed at epoch %d by %s", gateway, id, epoch, c.epoch, c.by)
		}
		if s := served[id]; s.epoch > epoch || s.epoch == epoch && s.by != gateway {
			o.complainLocked("two owners: %s serves shard %d at epoch %d, and %s has served it at epoch %d", gateway, id, epoch, s.by, s.epoch)
		}
		if o.served[id].epoch < epoch {
			o.served[id] = owned{epoch, gateway}
		}
	}
}

// claimed takes what the store says of a shard, held against what was known when it was asked. A store that has lost it says 0.
func (o *owners) claimed(id protocol.ShardID, c store.Claimed, claims map[protocol.ShardID]owned) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := claims[id]
	switch {
	case c.Epoch == 0:
		return
	case c.Epoch < before.epoch:
		o.complainLocked("the epoch of shard %d went back in the store: from %d of %s to %d of %s", id, before.epoch, before.by, c.Epoch, c.Owner)
	case c.Epoch == before.epoch && c.Owner != before.by:
		o.complainLocked("shard %d is claimed at epoch %d by two: %s and %s", id, c.Epoch, before.by, c.Owner)
	}
	o.looks++
	if o.claims[id].epoch < c.Epoch {
		o.claims[id] = owned{c.Epoch, c.Owner}
	}
}

// Looks is how often an answer of who owns what was compared with what was known.
func (b *Bed) Looks() int {
	b.owners.mu.Lock()
	defer b.owners.mu.Unlock()
	return b.owners.looks
}

// watchOwners looks at who owns what until ctx ends.
func (b *Bed) watchOwners(ctx context.Context, url string) error {
	s, err := openClaims(ctx, url)
	if err != nil {
		return fmt.Errorf("testbed: open the store to read its claims: %w", err)
	}
	var all sync.WaitGroup
	all.Go(func() { b.watchClaims(ctx, s.(store.Shared)) })
	all.Go(func() { b.watchGateways(ctx) })
	b.watching = func() error {
		all.Wait()
		return s.Close()
	}
	return nil
}

func openClaims(ctx context.Context, url string) (store.Store, error) {
	u, err := driver.ParseURL(url)
	if err != nil {
		return nil, err
	}
	c := stores.Default()
	c.URL = u
	s, err := c.Open(ctx, driver.Params{Shards: shards, IDRetention: 5 * time.Minute, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return nil, err
	}
	if _, is := s.(store.Shared); !is {
		return nil, errors.Join(fmt.Errorf("%s tells no claims", u), s.Close())
	}
	return s, nil
}

func (b *Bed) watchClaims(ctx context.Context, s store.Shared) {
	ids := make([]protocol.ShardID, shards)
	for i := range ids {
		ids[i] = protocol.ShardID(i)
	}
	for ; ctx.Err() == nil; sleep(ctx, claimsEvery) {
		claims, _ := b.owners.known()
		look, cancel := context.WithTimeout(ctx, mostLook)
		found, errs := s.Claims(look, ids)
		cancel()
		for i, c := range found {
			if errs == nil || errs[i] == nil { // a store to which something is done may not answer
				b.owners.claimed(ids[i], c, claims)
			}
		}
	}
}

func (b *Bed) watchGateways(ctx context.Context) {
	for ; ctx.Err() == nil; sleep(ctx, gatewaysEvery) {
		var all sync.WaitGroup
		for _, m := range b.Members(localcluster.Gateway) {
			if !m.Running() {
				continue
			}
			all.Go(func() {
				claims, served := b.owners.known()
				look, cancel := context.WithTimeout(ctx, mostAsk)
				defer cancel()
				status, body, err := m.Get(look, "/debug/shards")
				if err == nil && status == 200 {
					b.owners.serves(m.Name, servedShards(body), claims, served)
				}
			})
		}
		all.Wait()
	}
}

// servedShards reads /debug/shards: shard, state, epoch, below, mailboxes, writes, served. One that tells less is of an older binary.
func servedShards(body string) map[protocol.ShardID]protocol.Epoch {
	all := make(map[protocol.ShardID]protocol.Epoch)
	for line := range strings.SplitSeq(body, "\n") {
		fields := strings.Split(line, "\t")
		if len(fields) < 7 || fields[6] != "true" {
			continue
		}
		id, err := strconv.ParseUint(fields[0], 10, 32)
		epoch, err2 := strconv.ParseUint(fields[2], 10, 64)
		if err == nil && err2 == nil {
			all[protocol.ShardID(id)] = protocol.Epoch(epoch)
		}
	}
	return all
}
