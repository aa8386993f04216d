package slow

import (
	"math/rand/v2"
	"time"
)

// queue decides what becomes of the packets of one direction. It keeps no packet: with a fixed rate, when the last one will
// have left says how many bytes wait.
type queue struct {
	cfg   Config
	dice  *rand.Rand
	free  time.Duration // clock at which all that was let in has left
	cut   bool
	stats Stats
}

func newQueue(cfg Config, direction uint64) *queue {
	return &queue{cfg: cfg, dice: rand.New(rand.NewPCG(cfg.Seed, direction))}
}

// takes is how long the link is busy with n bytes.
func (q *queue) takes(n int) time.Duration {
	return time.Duration(n) * 8 * time.Millisecond / time.Duration(q.cfg.RateKbit)
}

// admit takes a packet of n bytes at now, and answers when it arrives; false: it is dropped.
func (q *queue) admit(now time.Duration, n int) (due time.Duration, ok bool) {
	if q.cut || q.cfg.Loss > 0 && q.dice.Float64()*100 < q.cfg.Loss {
		q.stats.Lost++
		return 0, false
	}
	wait := max(q.free-now, 0)
	queued := int(int64(wait) * int64(q.cfg.RateKbit) / int64(8*time.Millisecond))
	if queued+n > q.cfg.QueueBytes {
		q.stats.Dropped++
		return 0, false
	}
	q.free = now + wait + q.takes(n)
	q.stats.Packets++
	q.stats.Bytes += int64(n)
	q.stats.MostQueued = max(q.stats.MostQueued, queued+n)
	q.stats.LongestInTheLink = max(q.stats.LongestInTheLink, wait)
	return q.free + q.cfg.RTT/2, true
}
