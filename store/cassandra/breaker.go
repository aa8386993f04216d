package cassandra

import (
	"sync"
	"sync/atomic"
	"time"
)

// A breaker keeps requests from a host that does not answer. The driver gives up none for that: a host that is stopped would keep its
// share of the requests for half a minute.
//
//	closed ──breakAfter time-outs in a row──▶ open ──breakFor──▶ half open: one request goes through
//	  ▲                                        ▲                    │
//	  └──────────────── it is answered ────────┼────────────────────┤
//	                                           └──── it is not ─────┘
type breaker struct {
	failures atomic.Int32 // in a row
	openTo   atomic.Int64 // ns since start: no request before; 0: closed
}

const (
	breakAfter = 3
	breakFor   = time.Second
)

// allow reports whether the host may be asked at now. Where it is half open, the caller's request is the one that goes through.
func (b *breaker) allow(now int64) bool {
	to := b.openTo.Load()
	return to == 0 || now >= to && b.openTo.CompareAndSwap(to, now+int64(breakFor))
}

// open reports whether requests are kept from the host.
func (b *breaker) open() bool { return b.openTo.Load() != 0 }

// answered notes that the host has answered, whatever it has.
func (b *breaker) answered() {
	if b.failures.Load() != 0 {
		b.failures.Store(0)
	}
	if b.openTo.Load() != 0 {
		b.openTo.Store(0)
	}
}

// failed notes that the host has not answered, and reports whether that has opened the breaker.
func (b *breaker) failed(now int64) (opened bool) {
	if b.failures.Add(1) < breakAfter {
		return false
	}
	return b.openTo.Swap(now+int64(breakFor)) == 0
}

// breakers is those of all hosts.
type breakers struct {
	started time.Time
	of      sync.Map // host id → *breaker
}

func (b *breakers) now() int64 { return int64(time.Since(b.started)) }

func (b *breakers) host(id string) *breaker {
	if one, ok := b.of.Load(id); ok {
		return one.(*breaker)
	}
	one, _ := b.of.LoadOrStore(id, new(breaker))
	return one.(*breaker)
}
