package stream

import (
	"context"
	"strings"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Request is what a device asks for: checked, and known whose it is. Its strings may share the memory of a whole HTTP request.
type Request struct {
	User        protocol.UserID
	Device      protocol.DeviceID
	Expires     time.Time // of the token; zero: never
	Context     *protocol.DeviceContext
	Cursor      string // where the device stands; empty: see HasSeq
	HasSeq      bool   // Seq was counted on the stream named Name
	Seq         protocol.Seq
	Name        string
	Window      int   // pushes that may be unacked; 0: the transport's most
	HeartbeatMS int32 // 0: the server's interval
}

// Init makes s what r asks for. What a stream keeps for its life is copied.
func (s *Stream) Init(set *Set, r *Request, t protocol.Transport, out FrameWriter) {
	s.set, s.out = set, out
	s.transport = t
	s.openedMS = uint32(set.clock.now())
	if t != protocol.TransportPoll {
		if s.intervalMS = r.HeartbeatMS; s.intervalMS == 0 {
			s.intervalMS = int32(set.cfg.Heartbeat.Milliseconds())
		}
	}
	if most, _ := t.Window(); r.Window > 0 && r.Window < most {
		s.window = uint16(r.Window)
	}
	if !r.Expires.IsZero() {
		s.expiresMS = set.clock.at(r.Expires)
	}
	user, device := string(r.User), string(r.Device)
	s.context = r.Context
	both := len(user) + len(device)
	if c := s.context; c != nil {
		s.names = compact(&user, &device, &c.App, &c.AppVersion, &c.OS, &c.OSVersion, &c.Model, &c.Locale)[:both]
		compactLabels(c)
	} else {
		s.names = compact(&user, &device)
	}
	s.userLen = uint8(len(user)) // at most 128. SPEC 1
}

// compact copies strings into one piece of memory, one behind the other.
func compact(all ...*string) string {
	var b strings.Builder
	n := 0
	for _, s := range all {
		n += len(*s)
	}
	b.Grow(n)
	for _, s := range all {
		b.WriteString(*s)
	}
	rest := b.String()
	for _, s := range all {
		*s, rest = rest[:len(*s)], rest[len(*s):]
	}
	return b.String()
}

func compactLabels(c *protocol.DeviceContext) {
	if c.Labels == nil {
		return
	}
	labels := make(map[string]string, len(c.Labels))
	for k, v := range c.Labels {
		compact(&k, &v)
		labels[k] = v
	}
	c.Labels = labels
}

// Open opens s at the owner of its user.
func (s *Stream) Open(ctx context.Context, r *Request) (Opened, error) {
	lk, o, err := s.set.opener.Open(ctx, s.set.cfg.OpenTimeout, link.Open{
		User: s.User(), Device: s.Device(), Transport: s.transport, Context: s.context,
		Cursor: strings.Clone(r.Cursor), HasSeq: r.HasSeq, Seq: r.Seq, Name: strings.Clone(r.Name),
		Window: int(s.window),
	}, s)
	return Opened{lk, o}, err
}
