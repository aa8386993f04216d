package testbed

import (
	"testing"
	"time"

	"ramen/loadtest/ledger/judge"
)

// TestLapsesAreRead in what gateways write.
func TestLapsesAreRead(t *testing.T) {
	at, shards, is := lapseOf(`time=2026-11-30T20:18:13.300Z level=WARN msg="lost shards" shards=456 shard=4 epoch=12 member=gateway-3@4xkc7dxp reason=unavailable below=13 error="gateway: the lease has ended"`)
	if want := time.Date(2026, 11, 30, 20, 18, 13, 300e6, time.UTC); !is || shards != "456" || !at.Equal(want) {
		t.Errorf("got %v, %s, %v", at, shards, is)
	}
	if _, _, is := lapseOf(`time=2026-11-30T20:18:13.300Z level=WARN msg="lost shards" shards=456 shard=4 epoch=12 member=gateway-3@4xkc7dxp reason=rebalance below=13 error="store: shard is claimed at epoch 13"`); is {
		t.Error("a shard that another one has claimed is a lease that has ended")
	}
}

// TestLapsesAloneAreCounted: not those that a fault explains.
func TestLapsesAloneAreCounted(t *testing.T) {
	lapse := func(at judge.Moment) judge.Span { return judge.Span{From: at, To: at, Lapsed: true} }
	l := &judge.Log{Spans: []judge.Span{{What: "gateway-paused", From: 10, To: 20, Owner: true}, {What: "frontend-drained", From: 30, To: 40}, lapse(15), lapse(35), lapse(50)}}
	if n := LapsesAlone(l); n != 2 {
		t.Errorf("%d lapses are told that no fault explains, want 2", n)
	}
}
