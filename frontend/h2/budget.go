package h2

import "time"

// budget is what may be spent: rate a second, and a burst. It is not a ratelimit.Bucket, since it counts frames: the clock is read only
// when it runs out, so that what is far from its bound costs a subtraction; right after that as much as two bursts may pass.
type budget struct {
	left float32
	at   uint32 // ms since started, when it was filled last
}

// allowance is the rate, in units a second, and the burst of a budget; a rate of 0 is no bound.
type allowance struct{ rate, burst float32 }

var started = time.Now()

func nowMS() uint32 { return uint32(time.Since(started).Milliseconds()) }

// spend takes one; false where there is none left. earned, in units, is added when the budget is filled.
func (b *budget) spend(a allowance, earned func() float32) bool {
	if a.rate == 0 {
		return true
	}
	if b.left < 1 {
		now := nowMS()
		more := a.rate * float32(now-b.at) / 1000
		if earned != nil {
			more += earned()
		}
		b.left = min(a.burst, b.left+more)
		b.at = now
	}
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// limits are the allowances of a kind of connection.
type limits struct {
	calls   allowance // HEADERS that open a stream
	resets  allowance // RST_STREAM
	nothing allowance // frames that carry nothing; what is sent to the peer earns more
	small   allowance // DATA frames with a short message; a rate of 0: they are among nothing
}

// Frames that carry nothing are PING, SETTINGS, WINDOW_UPDATE, PRIORITY, CONTINUATION, unknown ones, and DATA of a few bytes. Good
// clients send a few of them for each frame that they get (acks, WINDOW_UPDATE, the pings with which they measure bandwidth).
const (
	nothingRate  = 200
	nothingBurst = 4000
	earnedByOne  = 4     // for each DATA or HEADERS frame that is sent to the peer
	smallRate    = 20000 // of a pipelined PublishStream: what grpc keeps for them is some 4 MB a connection at most
	fewBytes     = 64    // DATA below it carries nothing: grpc keeps some 100 bytes for each
)

func knownLimits(c *Config, p *Port) limits {
	resets := float32(c.ResetsPerSecond)
	return limits{
		calls:   allowance{float32(p.CallsPerSecond), 2 * float32(p.CallsPerSecond)},
		resets:  allowance{resets, max(10*resets, 2*float32(p.Calls))}, // all calls of a proxy may be cancelled at once
		nothing: allowance{nothingRate, nothingBurst},
		small:   allowance{smallRate, 2 * smallRate},
	}
}

func unknownLimits(c *Config) limits {
	calls := float32(c.UnknownCalls)
	return limits{
		calls:   allowance{calls, max(2*calls, mostUnknown)},
		resets:  allowance{float32(c.ResetsPerSecond) / 10, max(calls, 10)},
		nothing: allowance{nothingRate / 4, nothingBurst / 8},
	}
}
