package slow

import (
	"strings"
	"testing"
	"time"
)

func TestPacketsLeaveAtTheRateAndArriveHalfARoundTripLater(t *testing.T) {
	q := newQueue(Config{RateKbit: 1000, RTT: 100 * time.Millisecond, QueueBytes: 25_000}, 0)
	for i := range 16 { // 1,500 bytes take 12 ms
		due, ok := q.admit(0, 1500)
		if want := time.Duration(i+1)*12*time.Millisecond + 50*time.Millisecond; !ok || due != want {
			t.Errorf("packet %d arrives at %v, %v; want %v", i, due, ok, want)
		}
	}
	if _, ok := q.admit(0, 1500); ok {
		t.Error("25,000 bytes of queue have room for 17 packets of 1,500")
	}
	if due, ok := q.admit(0, 1000); !ok || due != 250*time.Millisecond {
		t.Errorf("the last 1,000 bytes of room: %v, %v", due, ok)
	}
	if due, ok := q.admit(12*time.Millisecond, 1500); !ok || due != 262*time.Millisecond {
		t.Errorf("when one has left: %v, %v", due, ok)
	}
	if due, ok := q.admit(time.Second, 1500); !ok || due != time.Second+62*time.Millisecond {
		t.Errorf("into an empty queue: %v, %v", due, ok)
	}
	if s := q.stats; s.Packets != 19 || s.Dropped != 1 || s.Lost != 0 || s.MostQueued != 25_000 || s.Bytes != 18*1500+1000 || s.LongestInTheLink != 192*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

func TestLossesAreTheSameWithTheSameSeed(t *testing.T) {
	outcomes := func(seed, direction uint64) string {
		q := newQueue(Config{RateKbit: 1_000_000, QueueBytes: 3000, Loss: 10, Seed: seed}, direction)
		var s strings.Builder
		for i := range 1000 {
			if _, ok := q.admit(time.Duration(i)*time.Second, 1500); ok {
				s.WriteByte('.')
			} else {
				s.WriteByte('x')
			}
		}
		return s.String()
	}
	one := outcomes(1, 0)
	if one != outcomes(1, 0) || one == outcomes(2, 0) || one == outcomes(1, 1) {
		t.Error("losses do not follow the seed and the direction")
	}
	if n := strings.Count(one, "x"); n < 50 || n > 200 {
		t.Errorf("%d of 1,000 are lost, not about 100", n)
	}
}

func TestBadLinksAreNamed(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"rate_kbit":   func(c *Config) { c.RateKbit = 0 },
		"rtt":         func(c *Config) { c.RTT = -time.Second },
		"two packets": func(c *Config) { c.QueueBytes = 1500 },
		"0 to 50":     func(c *Config) { c.Loss = 99 },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
