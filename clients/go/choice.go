package ramen

import "time"

// choice says over which transport to open the next stream:
//
//   - the preferred one, until FallbackAfter attempts in a row have failed without a word of the server's (nobody there,
//     a proxy's answer, no hello, cut or silent within 30 s): then the next, and after the last the first again;
//   - on a fallback, the preferred one is tried after PreferAfter, beside the stream that lives; where the trial fails the
//     time doubles, up to 1 h.
//
// What the server itself refuses says nothing about the transport.
type choice struct {
	// immutable
	all   []Transport
	after int           // failures
	first time.Duration // until the first trial; negative: never

	at    int
	fails int
	pause time.Duration // between trials
	due   time.Time     // the next trial
}

func newChoice(c *DeviceConfig) choice {
	return choice{all: c.Transports, after: c.FallbackAfter, first: c.PreferAfter, pause: c.PreferAfter}
}

func (c *choice) current() Transport { return c.all[c.at] }

// failed counts a failure, and reports whether it made the device fall back.
func (c *choice) failed(now time.Time) bool {
	c.fails++
	if c.fails < c.after || len(c.all) == 1 {
		return false
	}
	c.fails = 0
	c.at = (c.at + 1) % len(c.all)
	if c.at == 1 { // fell from the preferred one
		c.pause = c.first
		c.due = now.Add(c.pause)
	}
	return c.at != 0
}

// succeeded says that the current transport works.
func (c *choice) succeeded() { c.fails = 0 }

// trial is how long to wait, at now, for the next trial of the preferred transport.
func (c *choice) trial(now time.Time) (time.Duration, bool) {
	return max(0, c.due.Sub(now)), c.at != 0 && c.first > 0
}

// tried says how a trial went.
func (c *choice) tried(well bool, now time.Time) {
	if well {
		c.at, c.fails = 0, 0
		return
	}
	c.pause = min(2*c.pause, max(maxPreferAfter, c.first))
	c.due = now.Add(c.pause)
}
