package pebble

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// drawOps writes n random ops as the committer does.
func drawOps(o *ops, rng *rand.Rand, n int) {
	text := func(most int) string { return strings.Repeat("x", rng.IntN(most)) }
	o.time(rng.Int64())
	for range n {
		o.mailbox(protocol.ShardID(rng.IntN(3)), protocol.UserID(fmt.Sprint("user", rng.IntN(3))))
		ref := store.Ref{Priority: protocol.LanePriority(rng.IntN(protocol.Lanes)), Position: protocol.Position{Epoch: 2, Micros: rng.Uint64()}}
		switch rng.IntN(5) {
		case 0:
			e := fullEntry()
			e.Position, e.Message.Priority, e.Message.CreatedMS = ref.Position, ref.Priority, rng.Int64()
			e.Message.ID, e.Message.Type, e.Message.Payload = protocol.MessageID(text(300)), text(300), []byte(text(20000))
			o.message(&e)
		case 1:
			o.drop(ref)
		case 2:
			d := fullDevice()
			d.ID, d.Context.Model = protocol.DeviceID(text(300)), text(300)
			o.device(&store.DeviceSave{Device: d})
		case 3:
			o.device(&store.DeviceSave{Device: fullDevice(), Remove: true})
		case 4:
			o.claim([]protocol.ShardID{1, 5, 1000}[:rng.IntN(4)], protocol.Epoch(rng.Uint64()), text(300))
		}
	}
}

// TestReplayHasTheEffectsOfTheWrite: what Open reads out of the journal does what the process did that wrote it.
func TestReplayHasTheEffectsOfTheWrite(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var o ops
		drawOps(&o, rng, 50)
		stamp(o.b, o.effects, rng.Int64())
		var read []effect
		if err := readOps(o.b, func(e *effect) { read = append(read, *e) }); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read, o.effects) {
			for i := range min(len(read), len(o.effects)) {
				if read[i] != o.effects[i] {
					t.Fatalf("effect %d was noted as %+v, and read as %+v", i, o.effects[i], read[i])
				}
			}
			t.Fatalf("%d effects were noted, %d read", len(o.effects), len(read))
		}
	}
}

// FuzzReadOps reads any bytes as ops: what is read is within them, and a fault is an error.
func FuzzReadOps(f *testing.F) {
	var o ops
	e, d := fullEntry(), fullDevice()
	o.time(1)
	o.claim([]protocol.ShardID{1, 2}, 3, "owner")
	o.mailbox(1, "u")
	o.message(&e)
	o.drop(placeOf(e))
	o.device(&store.DeviceSave{Device: d})
	o.device(&store.DeviceSave{Device: d, Remove: true})
	f.Add(o.b)
	f.Add(o.b[:len(o.b)-1])
	f.Add([]byte{opMessage})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newOverlay()
		_ = r.replay(b, 1)
		r.evict(r.boxesUpTo(1), 1)
		for _, users := range r.shards {
			for user, box := range users {
				if !box.empty() {
					t.Fatalf("user %q has rows that belong to no segment", user)
				}
			}
		}
	})
}
