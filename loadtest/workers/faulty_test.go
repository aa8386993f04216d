package workers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ramen/protocol"
)

// faults are what a server does wrong; a field of 0 is not done. It is right in everything else: seqs have no gaps, so that
// each check must find its fault by itself.
type faults struct {
	drop      int           // one message in so many is never pushed, and counted nowhere
	double    int           // one in so many is pushed twice
	swap      int           // one in so many goes behind its successor
	gap       int           // one in so many seqs is left out
	corrupt   int           // one in so many is another user's
	forgetful bool          // what was pushed is never pushed again, acked or not
	amnesia   bool          // cursors are not honoured
	eager     bool          // cursors are said to be honoured, and are not
	beat      time.Duration // between heartbeats, whatever the device was told; 0: as told

	moves time.Duration // no fault: so old, a stream is asked to move on; 0: never
}

// faulty is a server of SSE and HTTP publishes with these faults. A user's cursor is how many of its messages came.
type faulty struct {
	faults
	*httptest.Server

	mu     sync.Mutex
	users  map[string]*mailbox // guarded by mu
	count  int                 // guarded by mu: messages accepted
	beside int                 // guarded by mu: streams that opened while the last one, asked to move on, was still there
}

type mailbox struct {
	messages []protocol.Publish
	fault    []string // drop, double, swap, gap, corrupt; empty: none
	sent     int      // the most that was pushed
	changed  chan struct{}
	newer    chan struct{} // closed when another stream opens; nil: none is there
	asked    bool          // the stream was asked to move on
}

func newFaulty(t *testing.T, f faults) *faulty {
	s := &faulty{faults: f, users: make(map[string]*mailbox)}
	mux := s.mux()
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *faulty) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ramen/receive", s.receive)
	mux.HandleFunc("POST /ramen/ack", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("POST /v1/publish", s.publish)
	return mux
}

// box is the mailbox of a user. Called with mu held.
func (s *faulty) box(user string) *mailbox {
	if s.users[user] == nil {
		s.users[user] = &mailbox{changed: make(chan struct{})}
	}
	return s.users[user]
}

func (s *faulty) publish(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	limits := protocol.DefaultPublishLimits()
	list, _, err := protocol.DecodePublishJSON(nil, body, &limits)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	results := make([]protocol.PublishResult, len(list))
	s.mu.Lock()
	for i := range list {
		p := list[i]
		p.Payload = append([]byte(nil), p.Payload...)
		b := s.box(p.User)
		b.messages = append(b.messages, p)
		b.fault = append(b.fault, s.fault())
		close(b.changed)
		b.changed = make(chan struct{})
		results[i] = protocol.PublishResult{ID: p.ID, Status: protocol.PublishAccepted, Devices: 1}
	}
	s.mu.Unlock()
	_, _ = w.Write(protocol.AppendPublishResults(nil, results))
}

// fault chooses what is done wrong with the next message; empty: nothing. Called with mu held.
func (s *faulty) fault() string {
	s.count++
	for name, n := range map[string]int{"drop": s.drop, "double": s.double, "swap": s.swap, "gap": s.gap, "corrupt": s.corrupt} {
		if n > 0 && s.count%n == 0 {
			return name
		}
	}
	return ""
}

func (s *faulty) receive(w http.ResponseWriter, r *http.Request) {
	user := r.URL.Query().Get("user")
	cursor, err := strconv.Atoi(r.URL.Query().Get("cursor"))
	resumed := err == nil && !s.amnesia
	if !resumed || s.eager {
		cursor = 0
	}
	s.mu.Lock()
	b := s.box(user)
	if s.forgetful {
		cursor = b.sent
	}
	if b.newer != nil {
		if b.asked {
			s.beside++
		}
		close(b.newer)
	}
	newer := make(chan struct{})
	b.newer, b.asked = newer, false
	s.mu.Unlock()
	heartbeat := 4000
	if ms, err := strconv.Atoi(r.URL.Query().Get("heartbeat_ms")); err == nil {
		heartbeat = ms
	}
	out := &writer{w: w, user: user, seq: protocol.Seq(cursor)}
	w.Header().Set("Content-Type", "text/event-stream")
	out.write(protocol.AppendSSEHello(nil, &protocol.Hello{Resumed: resumed, Stream: "s", Seq: out.seq, HeartbeatMS: uint32(heartbeat)}, 0))
	beat := s.beat
	if beat == 0 {
		beat = time.Duration(heartbeat) * time.Millisecond
	}
	s.pump(r, b, out, cursor, beat, newer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.newer == newer {
		b.newer = nil
	}
}

// pump pushes what there is, and heartbeats, until the device is gone.
func (s *faulty) pump(r *http.Request, b *mailbox, out *writer, at int, beat time.Duration, newer <-chan struct{}) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	var old <-chan time.Time
	if s.moves > 0 {
		t := time.NewTimer(s.moves)
		defer t.Stop()
		old = t.C
	}
	for {
		s.mu.Lock()
		messages, fault, changed := b.messages, b.fault, b.changed
		b.sent = max(b.sent, len(messages))
		s.mu.Unlock()
		for ; at < len(messages); at++ {
			if fault[at] == "swap" && at+1 == len(messages) {
				break // its successor is to come
			}
			out.message(messages, fault[at], &at)
		}
		select {
		case <-r.Context().Done():
			return
		case <-newer:
			out.write(protocol.AppendSSEGoAway(nil, &protocol.GoAway{Reason: protocol.ReasonSuperseded}, 0))
			return
		case <-old:
			s.mu.Lock()
			b.asked = true
			s.mu.Unlock()
			out.write(protocol.AppendSSEGoAway(nil, &protocol.GoAway{Reason: protocol.ReasonDrain, ReconnectMS: 50}, 0))
		case <-changed:
		case <-beats.C:
			out.write([]byte(protocol.SSEHeartbeat))
		}
	}
}

// writer is one stream.
type writer struct {
	w    http.ResponseWriter
	user string
	seq  protocol.Seq
}

func (o *writer) write(b []byte) {
	_, _ = o.w.Write(b)
	_ = http.NewResponseController(o.w).Flush()
}

func (o *writer) message(messages []protocol.Publish, fault string, at *int) {
	m := &messages[*at]
	switch fault {
	case "drop":
		return
	case "double":
		o.push(m, *at)
	case "gap":
		o.seq++
	case "swap":
		*at++
		o.push(&messages[*at], *at-1)
	case "corrupt":
		other := *m
		run, rest, _ := strings.Cut(m.ID, "-")
		user, number, _ := strings.Cut(rest, "-")
		other.ID = run + "-" + user + "zz-" + number
		m = &other
	}
	o.push(m, *at)
}

func (o *writer) push(m *protocol.Publish, at int) {
	o.seq++
	o.write(protocol.AppendSSEPush(nil, &protocol.Push{Seq: o.seq, Cursor: strconv.Itoa(at + 1), Message: &protocol.Message{
		ID: protocol.MessageID(m.ID), Type: m.Type, Priority: m.Priority, Payload: m.Payload, ContentType: protocol.ContentTypeJSON,
	}}))
}
