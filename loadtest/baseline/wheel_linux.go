package baseline

import "math/rand/v2"

// The wheel covers 64 s, more than the longest interval, in slots of 100 ms.
const (
	slotTime = 100 // ms
	slots    = 640
)

// wheel schedules the heartbeats of streams.
type wheel struct {
	slot [slots][]*conn
	at   int64 // the next slot, counted from the start
	size int   // streams in it, some of them closed
}

// join schedules c's heartbeats at this interval (ms). The first comes at a random moment within it, so that devices that
// connected together do not get their heartbeats together.
func (w *wheel) join(c *conn, interval int, now int64) {
	c.slots = uint16(max(1, interval/slotTime))
	w.put(c, now/slotTime+1+rand.Int64N(int64(c.slots)))
	w.size++
}

func (w *wheel) put(c *conn, at int64) {
	i := max(at, w.at) % slots
	w.slot[i] = append(w.slot[i], c)
}

// patience is how long the loop may wait, in ms; -1: for ever.
func (w *wheel) patience(now int64) int {
	if w.size == 0 {
		return -1
	}
	return int(max(0, min(w.at*slotTime-now, slotTime)))
}

// beat writes the heartbeats that are due, to streams to which nothing was written for an interval.
func (s *server) beat() {
	w := &s.wheel
	if w.size == 0 {
		w.at = s.now/slotTime + 1
		return
	}
	for ; w.at*slotTime <= s.now; w.at++ {
		due := w.slot[w.at%slots]
		w.slot[w.at%slots] = nil
		for i, c := range due {
			due[i] = nil
			if c.state == closed {
				w.size--
				continue
			}
			if next := c.wrote/slotTime + int64(c.slots); c.wrote > 0 && next > w.at && next-w.at < int64(c.slots) {
				w.put(c, next)
				continue
			}
			s.heartbeat(c)
			w.put(c, w.at+int64(c.slots))
		}
	}
}

var (
	textBeat   = []byte{opText, 0}
	binaryBeat = []byte{opBinary, 0}
	eventBeat  = []byte("1\r\n\n\r\n")
)

func (s *server) heartbeat(c *conn) {
	switch c.state {
	case sse:
		s.write(c, eventBeat)
	case wsJSON:
		s.write(c, textBeat)
	default:
		s.write(c, binaryBeat)
	}
}
