package stream

import "sync"

// Credit follows the drain. While the connection takes everything and has room, the gateway may have Config.Credit under way. When
// bytes had to be buffered, the gateway gets, until they have gone, what the device takes in drainTime, so that the next push is
// chosen when there is room for it, and a high message waits behind no more; the rest of the credit is withheld. It is returned as
// pushes go out without waiting. One push always goes out, however long: with a credit of 1 byte the gateway sends one.
//
// On a link of 1 Mbit/s, 100 ms and 25 KB of queue, with 1 MiB of low messages of 16 KiB pending, the worst of the high ones took
// 2.6 s (ws, SSE) and 3.1 s (gRPC) while the kernel's buffer grew as it liked (210 KB), 1.1 s and 1.7 s with TCP_NOTSENT_LOWAT
// alone, and 0.3 to 0.6 s on all three with room asked for (package sock) and this, the link used to 94 % all the while. A small
// SO_SNDBUF did as well here (0.9 s), but it is the most that is in flight on a long fast way too.
const (
	drainTime   = 64      // ms
	leastCredit = 4 << 10 // bytes
)

// backpressure is what is known of a connection that does not take everything at once. Hardly any stream has one at a time, so
// that an idle stream has no room for it; the timer takes it off a stream that needs it no longer.
type backpressure struct {
	creditWithheld int32  // how much of creditToReturn the gateway does not get yet
	drained        int32  // bytes that went out since drainingMS
	drainingMS     uint32 // server clock, cut to 32 bits
	stalledMS      int64  // since when the connection has taken nothing of what is buffered
}

var backpressures = sync.Pool{New: func() any { return new(backpressure) }}

// begin notes that bytes are buffered from now on.
func (b *backpressure) begin(now int64) { b.stalledMS, b.drained, b.drainingMS = now, 0, uint32(now) }

func (s *Stream) ensureBackpressureLocked() *backpressure {
	if s.backpressure == nil {
		s.backpressure = backpressures.Get().(*backpressure)
	}
	return s.backpressure
}

// releaseBackpressureLocked lets go of it where nothing is buffered or withheld.
func (s *Stream) releaseBackpressureLocked() {
	b := s.backpressure
	if b == nil || s.buffered > 0 || b.creditWithheld != 0 {
		return
	}
	s.backpressure = nil
	*b = backpressure{}
	backpressures.Put(b)
}

// creditWithheldLocked is the credit not yet returned to the gateway because the device is slow.
func (s *Stream) creditWithheldLocked() int32 {
	if s.backpressure == nil {
		return 0
	}
	return s.backpressure.creditWithheld
}

// adaptCreditLocked sets what is withheld, n buffered bytes having gone out. Fewer bytes than leastCredit say nothing of the
// device's rate: over gRPC and TLS a heartbeat is buffered for a moment too.
func (s *Stream) adaptCreditLocked(now int64, n int) {
	b := s.ensureBackpressureLocked()
	b.stalledMS = now
	if b.drained += int32(n); b.drained < leastCredit {
		if int32(n) >= s.buffered {
			b.creditWithheld = max(b.creditWithheld-int32(n), 0)
		}
		return
	}
	ms, most := int64(max(uint32(now)-b.drainingMS, 1)), int64(s.credit())
	b.creditWithheld = int32(most - min(max(int64(b.drained)*drainTime/ms, leastCredit), most))
	b.drained, b.drainingMS = 0, uint32(now)
}

// returnCreditLocked takes off the credit to return now. It is returned in steps of a quarter, so that on a link it is a frame for
// many pushes; what is withheld meanwhile leaves the gateway enough to go on.
func (s *Stream) returnCreditLocked() (give int) {
	if s.buffered == 0 {
		s.creditToReturn += s.creditInFlight
		s.creditInFlight = 0
	}
	withheld := s.creditWithheldLocked()
	give = int(s.creditToReturn - withheld)
	if s.state != live || give < (s.credit()-int(withheld))/4 {
		return 0
	}
	s.creditToReturn = withheld
	return give
}
