package app

import (
	"testing"

	"ramen/internal/tool/memlimit"
)

// Where the process may use less memory than its configuration allows, what it may hold is smaller in effect.
func TestFix17ConfigurationFitsTheMemory(t *testing.T) {
	const mib = 1 << 20
	for _, limit := range []int64{96 * mib, 128 * mib, 256 * mib, 512 * mib, 1024 * mib, 4096 * mib, 7168 * mib, 0} {
		c := Default()
		c.Dev = true
		c.complete()
		m := c.fit(memlimit.Limit{Bytes: limit, Source: "cgroup"})
		all, outside := c.need()
		t.Logf("%d MiB: need %d MiB, %d outside of the heap, limit of the heap %d, %v", limit/mib, all/mib, outside/mib, m.goBytes/mib, m.less)
		if limit == 0 {
			if len(m.less) > 0 || c.Gateway.MemoryBytes != Default().Gateway.MemoryBytes {
				t.Errorf("without a limit: %v are less", m.less)
			}
			continue
		}
		if limit >= 256*mib && all > limit {
			t.Errorf("%d MiB are allowed of %d", all/mib, limit/mib)
		}
		if m.goBytes+outside > limit || m.goBytes < limit/4 {
			t.Errorf("the heap may have %d MiB beside %d, of %d", m.goBytes/mib, outside/mib, limit/mib)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%d MiB: %v", limit/mib, err)
		}
		if limit < 6144*mib == (c.Gateway.MemoryBytes == Default().Gateway.MemoryBytes) {
			t.Errorf("of %d MiB, memory_bytes is %d", limit/mib, c.Gateway.MemoryBytes/mib)
		}
	}
	c := Default()
	c.Gateway.MemoryBytes, c.Backend.BytesUnderWay, c.Store.Pebble.MemTableBytes = 32*mib, 8*mib, mib
	if m := c.fit(memlimit.Limit{Bytes: 1024 * mib, Source: "cgroup"}); len(m.less) > 0 || m.goBytes > 768*mib {
		t.Errorf("of a small configuration %v are less, and the heap may have %d MiB", m.less, m.goBytes/mib)
	}
}
