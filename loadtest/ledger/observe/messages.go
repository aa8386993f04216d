package observe

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
)

// payload is what the message with an id carries, and its content type: so any device can tell whether it is whole.
func payload(id string) ([]byte, string) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	n := h.Sum32()
	if n%10 == 0 {
		b := []byte(id)
		for i := range n % 400 {
			b = append(b, byte(n>>(i%24))+byte(i))
		}
		return b, "application/octet-stream"
	}
	b, _ := json.Marshal(map[string]string{"id": id, "pad": strings.Repeat("x", int(n%600))})
	return b, "application/json"
}

// contexts are those of devices.
var contexts = []*protocol.DeviceContext{
	{OS: "ios", Labels: map[string]string{"tier": "a"}},
	{OS: "android", Labels: map[string]string{"tier": "b"}},
	{OS: "ios", Labels: map[string]string{"tier": "b"}},
	{OS: "android", Labels: map[string]string{"tier": "a"}},
}

var wheres = []map[string]string{
	{"os": "ios"}, {"os": "android"}, {"label.tier": "a"}, {"os": "ios", "label.tier": "a"}, {"os": "android", "label.tier": "b"},
}

// separators are what a where could be written as a text with. A value that holds them makes the text of another where.
var separators = [][2]string{{"\x00", "\x01"}, {"\x00", "\x00"}, {"=", ","}, {"=", "\n"}, {":", ";"}, {"\x1f", "\x1e"}, {"=", "&"}}

// hostile is a where that no device matches, and whose text, badly made, is that of {label.tier: a, os: ios}.
func hostile(rng *rand.Rand) map[string]string {
	s := separators[rng.IntN(len(separators))]
	return map[string]string{"label.tier": "a" + s[1] + "os" + s[0] + "ios"}
}

// message draws a message to user. Few keys and targets meet again and again.
func (c *Clients) message(rng *rand.Rand, user int, id string) *judge.Message {
	m := &judge.Message{User: c.userName(user), ID: id, Priority: protocol.Priority(1 + rng.IntN(3))}
	switch n := rng.IntN(20); {
	case n < 3:
		m.Target.Device = deviceName(rng.IntN(devicesOf(user)))
	case n < 8:
		m.Target.Where = wheres[rng.IntN(len(wheres))]
	case n == 8:
		m.Target.Where = hostile(rng)
	case n == 9:
		m.Target = judge.Target{Device: deviceName(0), Where: wheres[rng.IntN(len(wheres))]}
	}
	if rng.IntN(5) < 2 {
		m.Key = []string{"eta", "state"}[rng.IntN(2)]
	}
	switch rng.IntN(20) {
	case 0:
		m.TTL = time.Second + time.Duration(rng.IntN(1000))*time.Millisecond
	case 1:
		m.TTL = time.Duration(5+rng.IntN(20)) * time.Second
	}
	return m
}

// drawUser draws one: the lower their numbers, the busier they are.
func (c *Clients) drawUser(rng *rand.Rand) int {
	for {
		f := rng.Float64()
		if u := int(f * f * float64(c.cfg.Users)); !sleeper(u) || !c.idle.quiet.Load() {
			return u
		}
	}
}
