package mailboxtest

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// Wheres are targets of which no two are the same.
var Wheres = []map[string]string{
	nil,
	{"os": "ios"},
	{"os": ""},
	{"os": "ios", "label.a": "b"},
	{"os": "ios\x00label.a\x00b"},
	{"os": "ios\x01label.a\x00b"},
	{"label.a": "b\x01os\x00ios"},
	{"label.a\x00b\x01os": "ios"},
	{"label.a\x00b": "\x01os\x00ios"},
	{"label.a": "b", "os": "ios\x00"},
	{"label.a": "b\x1fos\x1fios"},
	{"label.a": "b\nos=ios"},
	{"label.a=b,os": "ios"},
	{"label.a": "2:os3:ios"},
	{"label.a": "b", "label.a\x00": "b", "os": "ios"},
	{"label.a": "\x02os\x03ios"},
}

const (
	step     = 5 * time.Second // of Advance; nothing expires at the end of one
	day      = 24 * time.Hour
	idleFor  = 70 * time.Second
	longTime = 5 * time.Minute // in which ids are forgotten
)

// Source draws acts from bytes.
type Source struct {
	data      []byte
	ids       int // drawn
	copied    bool
	replacing int // acts that are left of a series on one key, for one device
	device    string
	opens     bool // the next act is an open of device
}

// NewSource draws from data until that is used up.
func NewSource(data []byte) *Source { return &Source{data: data} }

// RandomData is data for a Source, from least to most bytes.
func RandomData(seed uint64, least, most int) []byte {
	r := rand.New(rand.NewPCG(seed, 9))
	data := make([]byte, least+r.IntN(most-least+1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// pick draws one of n. Bytes that are used up are zeros.
func (s *Source) pick(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := int(s.data[0])
	s.data = s.data[1:]
	return b % n
}

func (s *Source) drawDevice() string { return "d" + strconv.Itoa(s.pick(4)) }

func (s *Source) drawOS() string { return []string{"ios", "android"}[s.pick(2)] }

// Next is what is done next, in a state that x has; nil at the end of the data.
func (s *Source) Next(x *Model) (a Act) {
	for a == nil && len(s.data) > 0 {
		if s.replacing > 0 {
			a = s.drawReplace(x)
		} else {
			a = s.draw(x)
		}
	}
	return a
}

// draw is nil where what it drew cannot be done.
func (s *Source) draw(x *Model) Act {
	device := s.drawDevice()
	switch s.pick(28) {
	case 0, 1, 2, 3, 4, 5, 6:
		return s.drawWrite()
	case 7, 8, 9, 10:
		return s.drawAck(x, device)
	case 11, 12:
		return s.drawAckBeside(x, device)
	case 13, 14, 15:
		return s.drawOpen(x, device)
	case 16:
		if d := x.Device(device); d != nil && d.Online {
			return Close{device}
		}
	case 17:
		if d := x.Device(device); d != nil && d.Socket {
			kept := len(d.Stream) - s.pick(min(3, len(d.Stream)+1))
			return Reopen{device, kept, s.pick(kept + 1)}
		}
	case 18:
		if d := x.Device(device); d != nil && d.Online {
			return Refresh{device, s.drawOS()}
		}
	case 19, 20, 21:
		return Advance{[]time.Duration{step, 2 * step, step, step, 2 * step, longTime}[s.pick(6)]}
	case 22:
		return Save{Fails: s.pick(3) == 0}
	case 23:
		return ForgetUnseen{time.Duration(s.pick(8)) * step}
	case 24:
		return Restart{[]Cause{Stop, Crash, Crash, Move, Idle}[s.pick(5)], s.pick(2) == 0}
	case 25:
		return s.drawLoss()
	default:
		s.replacing, s.device = 2+s.pick(6), device
		return s.drawOpen(x, device)
	}
	return nil
}

// drawReplace has messages of one key, for one device, replace each other, leave, and come back if they can.
func (s *Source) drawReplace(x *Model) Act {
	if s.replacing--; s.opens {
		s.opens = false
		return s.drawOpen(x, s.device)
	}
	switch s.pick(8) {
	case 0, 1, 2:
		m := s.newMessage("k")
		m.Device = s.device
		return Write{Requests: []Request{{Message: m}}}
	case 3, 4, 5:
		if d := x.Device(s.device); d != nil && len(d.Stream) > 0 {
			p := d.Stream[len(d.Stream)-1]
			return AckBeside{Device: s.device, Push: &p}
		}
	case 6:
		if s.ids > 0 {
			return Write{Requests: []Request{{Recall: "m" + strconv.Itoa(s.ids)}}}
		}
	case 7:
		s.opens = s.pick(2) == 0
		return Restart{How: Crash, Stored: s.pick(2) == 0}
	}
	return nil
}

func (s *Source) drawLoss() Act {
	if s.copied = !s.copied; s.copied {
		return Copy{}
	}
	return Lose{}
}

func (s *Source) drawWrite() Act {
	w := Write{Requests: make([]Request, 1+s.pick(3)/2*s.pick(4))}
	for i := range w.Requests {
		if s.pick(5) == 0 && s.ids > 0 {
			w.Requests[i].Recall = "m" + strconv.Itoa(max(1, s.ids-s.pick(20)))
		} else {
			w.Requests[i].Message = s.drawMessage()
		}
	}
	w.Answer = []Answer{Done, UnknownDone, UnknownLost, Failed, DoneTwice, Done, Done, Done}[s.pick(8)]
	w.Late = s.pick(3) == 0
	return w
}

// drawMessage is of the next id, or of an old one, with any target, key and time.
func (s *Source) drawMessage() *Message {
	m := s.newMessage("")
	switch kind := s.pick(16); kind {
	case 0, 1:
		m.Device = s.drawDevice()
		m.Key = s.drawKey(kind == 0)
	case 2, 3:
		m.Where = map[string]string{"os": s.drawOS()}
		m.Key = s.drawKey(kind == 2)
	case 4, 5:
		m.Where = Wheres[s.pick(len(Wheres))]
		m.Key = s.drawKey(true)
	case 6, 7, 8, 9:
		m.Key = s.drawKey(true)
	case 10:
		m.ID = "m" + strconv.Itoa(1+s.pick(s.ids))
	}
	if s.pick(4) == 0 {
		m.TTL = 3500*time.Millisecond + time.Duration(s.pick(4))*step
	}
	return m
}

// newMessage is for all devices and a day.
func (s *Source) newMessage(key string) *Message {
	s.ids++
	return &Message{ID: "m" + strconv.Itoa(s.ids), Key: key, Lane: s.pick(3), TTL: day}
}

func (s *Source) drawKey(some bool) string {
	if !some {
		return ""
	}
	return []string{"k", "k", "k", "key"}[s.pick(4)]
}

func (s *Source) drawAck(x *Model, device string) Act {
	d := x.Device(device)
	if d == nil || !d.Online {
		return nil
	}
	n := s.pick(len(d.Stream) + 1)
	if s.pick(2) == 0 {
		n = len(d.Stream)
	}
	return Ack{device, n, n > 0 && s.pick(3) == 0}
}

func (s *Source) drawAckBeside(x *Model, device string) Act {
	d, past := x.Device(device), x.History[device]
	if d == nil || len(past) == 0 {
		return nil
	}
	if s.pick(3) == 0 && d.Name != "" && !d.Unknown {
		return AckBeside{Device: device, Pushes: s.pick(len(d.Stream) + 1)}
	}
	p := past[s.pick(len(past))]
	return AckBeside{Device: device, Push: &p}
}

func (s *Source) drawOpen(x *Model, device string) Act {
	o := Open{Device: device, OS: s.drawOS(), Window: 1 + s.pick(12)}
	d, past := x.Device(device), x.History[device]
	switch s.pick(4) {
	case 0:
		if len(past) > 0 {
			p := past[len(past)-1-s.pick(len(past))]
			o.From, o.Push = FromCursor, &p
		}
	case 1:
		if d != nil && d.Name != "" {
			o.From, o.Pushes = FromSeq, s.pick(len(d.Stream)+1)
		}
	case 2:
		o.From = FromForged
	}
	return o
}
