package app

import (
	"fmt"
	"log/slog"
	"math"

	"ramen/internal/tool/config"
	"ramen/internal/tool/memlimit"
)

// Shares of the memory that a process may use, once what it needs by itself is taken off, where that is less than the configuration
// allows. The gateway has what the others leave.
const (
	programBytes = 48 << 20 // the program, its goroutines, an idle store
	leastGateway = 16 << 20
	shareStore   = 4 // a quarter, and so on
	shareCache   = 32
	shareUnder   = 20 // publishes under way, which take twice as much; and once more what is not whole
	shareLists   = 32 // twice as much, too
	shareFrames  = 32 // of devices, over WebSockets, that are not whole
	shareRest    = 8  // connections, and garbage
)

// memoryPlan is how much of it the process takes.
type memoryPlan struct {
	limit   memlimit.Limit
	goBytes int64    // the limit for Go's heap; 0: none is to be set
	less    []string // the keys whose values are smaller in effect, as key=value
}

// need is what the configuration allows, in bytes, and how many of these are not of Go's heap.
func (c *Config) need() (all, outside int64) {
	all, outside = c.Store.Memory(c.StoreParams())
	backend := 3*c.Backend.BytesUnderWay + 2*c.Backend.ListBytes // what is under way twice, and what is not whole
	return all + programBytes + c.Gateway.MemoryBytes + backend + int64(c.Frontend.UnfinishedBytes), outside
}

// fit makes the configuration smaller where the process may not use as much memory as it allows: publishes are refused in time then,
// where the process would be killed.
func (c *Config) fit(limit memlimit.Limit) memoryPlan {
	m := memoryPlan{limit: limit}
	most := int64(math.MaxInt64)
	if limit.Bytes > 0 {
		most = limit.Bytes - limit.Bytes/16 - programBytes // the program itself, the kernel's share of sockets, and what the heap is not cut to
	}
	if all, _ := c.need(); all > most {
		c.shrink(&m, max(most-programBytes, 0))
	}
	all, outside := c.need()
	m.goBytes = all + all/2 - outside // half more is garbage
	if limit.Bytes > 0 {
		m.goBytes = min(m.goBytes, most-outside)
	}
	return m
}

// shrink shares room out among what can be smaller.
func (c *Config) shrink(m *memoryPlan, room int64) {
	less := func(key string, value *int64, to int64) {
		to = to >> 20 << 20
		if to < *value {
			*value = to
			m.less = append(m.less, fmt.Sprintf("%s=%v", key, config.Bytes(to)))
		}
	}
	if all, _ := c.Store.Memory(c.StoreParams()); all > 0 {
		most := all
		less("store", &most, max(room/shareStore+room/shareCache, 1<<20))
		c.Store.MemoryBytes = most
	}
	less("backend.bytes_under_way", &c.Backend.BytesUnderWay, max(room/shareUnder, int64(c.Backend.Publish.MaxBody)))
	less("backend.list_bytes", &c.Backend.ListBytes, max(room/shareLists, 1<<20))
	frames := int64(c.Frontend.UnfinishedBytes)
	less("frontend.unfinished_bytes", &frames, max(room/shareFrames, 1<<20))
	c.Frontend.UnfinishedBytes = int(frames)
	others, _ := c.need()
	others -= programBytes + c.Gateway.MemoryBytes
	less("gateway.memory_bytes", &c.Gateway.MemoryBytes, max(room-others-room/shareRest, leastGateway))
	less("gateway.mailbox_bytes", &c.Gateway.MailboxBytes, max(c.Gateway.MemoryBytes/4, 1<<20))
}

// tell logs what holds.
func (m *memoryPlan) tell(log *slog.Logger) {
	switch {
	case m.limit.Bytes == 0:
		return
	case len(m.less) == 0:
		log.Info("memory", "limit", config.Bytes(m.limit.Bytes), "by", m.limit.Source, "go_limit", config.Bytes(m.goBytes>>20<<20))
	default:
		log.Warn("the process may use less memory than the configuration allows: smaller limits are used",
			"limit", config.Bytes(m.limit.Bytes), "by", m.limit.Source, "go_limit", config.Bytes(m.goBytes>>20<<20), "in_effect", m.less)
	}
}

// GoMemory is the limit that Go's heap should have, for debug.SetMemoryLimit, unless GOMEMLIMIT says what it is to be.
func (a *App) GoMemory() int64 { return a.memory.goBytes }
