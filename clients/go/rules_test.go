package ramen

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ramen/protocol"
)

var errUnready = errors.New("not ready")

func collect(c *collector) func(context.Context, *Message) error {
	return func(_ context.Context, m *Message) error {
		c.add(m)
		return nil
	}
}

// SPEC 2.6
func TestDuplicatesAreDroppedAndAcked(t *testing.T) {
	s := newServer(t)
	acked := make(chan protocol.Seq, 16)
	s.script = func(_ int, s *scripted) {
		s.hello(helloFor(s.opening))
		for i := 1; i <= 3; i++ {
			p := pushOf(i)
			p.Message.ID = "same"
			s.push(p)
		}
		for f, ok := s.recv(); ok; f, ok = s.recv() {
			if f.Kind == protocol.FrameAck {
				acked <- f.Seq
			}
		}
	}
	c := newCollector()
	d, _ := start(t, s, DeviceConfig{Transports: []Transport{WS}, Handler: collect(c)})
	for await(t, "ack of the last", acked) != 3 {
	}
	if n := len(c.got()); n != 1 {
		t.Errorf("handled %d times", n)
	}
	if n := d.Stats().Duplicates; n != 2 {
		t.Errorf("%d duplicates counted, want 2", n)
	}
}

// SPEC 2.9: 100 pushes within a moment are not 100 acks, and a half window does not wait.
func TestAcksAreJoined(t *testing.T) {
	for _, tr := range []Transport{WSProto, WSJSON, GRPC} {
		t.Run(string(tr), func(t *testing.T) {
			s := newServer(t)
			acks := make(chan protocol.Seq, 1000)
			s.script = func(_ int, s *scripted) {
				s.hello(helloFor(s.opening))
				for i := 1; i <= 100; i++ {
					s.push(pushOf(i))
				}
				for f, ok := s.recv(); ok; f, ok = s.recv() {
					if f.Kind == protocol.FrameAck {
						acks <- f.Seq
					}
				}
			}
			start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(newCollector())})
			n := 1
			for await(t, "ack of the last", acks) != 100 {
				n++
			}
			if n > 20 {
				t.Errorf("%d acks for 100 pushes", n)
			}
		})
	}
}

// SPEC 2.9: with ack_ms of 30 s, it is the half window that acks.
func TestHalfAWindowIsAckedAtOnce(t *testing.T) {
	s := newServer(t)
	s.script = mailbox(10, never)
	start(t, s, DeviceConfig{Transports: []Transport{SSE}, Window: 20, Handler: collect(newCollector())})
	if got := await(t, "ack", s.acks); got != "c10" {
		t.Errorf("acked %s, want c10", got)
	}
}

func TestAFailedAckIsRepeated(t *testing.T) {
	s := newServer(t)
	var asked atomic.Int32
	s.acked = func(string) *protocol.Error {
		if asked.Add(1) < 3 {
			return protocol.Errorf(protocol.CodeUnavailable, "no owner")
		}
		return nil
	}
	s.script = mailbox(10, never)
	start(t, s, DeviceConfig{Transports: []Transport{SSE}, Window: 20, Handler: collect(newCollector())}) // half of it is all there is to ack
	if got := await(t, "ack", s.acks); got != "c10" {
		t.Errorf("acked %s, want c10", got)
	}
}

// A stop acks what was processed, however long ack_ms is.
func TestStopAcksTheLast(t *testing.T) {
	for _, tr := range []Transport{WSProto, WSJSON, GRPC, SSE} {
		t.Run(string(tr), func(t *testing.T) {
			s := newServer(t)
			s.script = func(_ int, sc *scripted) {
				h := helloFor(sc.opening)
				h.AckMS = 30000
				sc.hello(h)
				for i := 1; i <= 3; i++ {
					sc.push(pushOf(i))
				}
				if sc.recv == nil {
					<-sc.gone
					return
				}
				for f, ok := sc.recv(); ok; f, ok = sc.recv() {
					if f.Kind == protocol.FrameAck {
						s.acks <- fmt.Sprint("c", f.Seq)
					}
				}
			}
			c := newCollector()
			d, err := New(DeviceConfig{URL: s.URL, GRPC: s.GRPC, Transports: []Transport{tr}, User: "u", Device: "d", Handler: collect(c)})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Start(); err != nil {
				t.Fatal(err)
			}
			c.await(t, 3)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if got := await(t, "ack", s.acks); got != "c3" {
				t.Errorf("acked %s, want c3", got)
			}
		})
	}
}

// SPEC 2.8
func TestHeartbeatsAreEchoed(t *testing.T) {
	for _, tr := range []Transport{WSProto, WSJSON, GRPC} {
		t.Run(string(tr), func(t *testing.T) {
			s := newServer(t)
			echo := make(chan protocol.DeviceFrame, 1)
			s.script = func(_ int, s *scripted) {
				s.hello(helloFor(s.opening))
				s.beat()
				f, _ := s.recv()
				echo <- f
				<-s.gone
			}
			start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(newCollector())})
			f := await(t, "echo", echo)
			if f.Kind != protocol.FrameHeartbeat || tr == GRPC && f.TimeMS != 42 {
				t.Errorf("echo is %+v", f)
			}
		})
	}
}

// SPEC 2.8: bytes that make no frame yet are a sign of life; their end is a death after 7/4 of the interval.
func TestSilenceOpensTheNextStream(t *testing.T) {
	for _, tr := range []Transport{WSProto, SSE, GRPC} {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			second := make(chan opening, 1)
			s.script = func(n int, s *scripted) {
				h := helloFor(s.opening)
				h.HeartbeatMS, h.TimeoutMS = 1000, 1750
				s.hello(h)
				if n == 1 {
					second <- s.opening
				}
				<-s.gone
			}
			d, _ := start(t, s, DeviceConfig{Transports: []Transport{tr}, Heartbeat: time.Second, Handler: collect(newCollector())})
			if o := await(t, "a second stream", second); o.HeartbeatMS != 1000 {
				t.Errorf("asked for an interval of %d ms", o.HeartbeatMS)
			}
			if d.Stats().Silent == 0 {
				t.Error("no silent death counted")
			}
		})
	}
}

// A frame that takes longer than the timeout is no silence, where its bytes can be seen.
func TestASlowFrameIsNoSilence(t *testing.T) {
	s := newServer(t)
	event := protocol.AppendSSEPush(nil, pushOf(1))
	s.script = func(_ int, s *scripted) {
		h := helloFor(s.opening)
		h.TimeoutMS = 1750
		s.hello(h)
		tick := time.NewTicker(450 * time.Millisecond)
		defer tick.Stop()
		for i := range 5 {
			select {
			case <-tick.C:
				s.raw(string(event[i*len(event)/5 : (i+1)*len(event)/5]))
			case <-s.gone:
				return
			}
		}
		<-s.gone
	}
	c := newCollector()
	d, _ := start(t, s, DeviceConfig{Transports: []Transport{SSE}, Handler: collect(c)})
	c.await(t, 1)
	if n := d.Stats().Streams; n != 1 {
		t.Errorf("%d streams, want 1", n)
	}
}

// SPEC 2.12: the next stream is opened while the old one is read on; its superseded is of no interest.
func TestDrainIsHandedOver(t *testing.T) {
	for _, tr := range []Transport{WSProto, WSJSON, GRPC, SSE} {
		t.Run(string(tr), func(t *testing.T) {
			s := newServer(t)
			next := make(chan struct{})
			s.script = func(n int, s *scripted) {
				s.hello(helloFor(s.opening))
				if n == 0 {
					s.push(pushOf(1))
					s.away(&protocol.GoAway{Reason: protocol.ReasonDrain, ReconnectMS: 50})
					s.push(pushOf(2)) // rule 12: pushed to as before
					<-next
					s.away(&protocol.GoAway{Reason: protocol.ReasonSuperseded})
					return
				}
				close(next)
				for i := placeOf(s.Cursor) + 1; i <= 5; i++ {
					s.push(pushOf(i))
				}
				<-s.gone
			}
			c := newCollector()
			d, ended := start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(c)})
			c.await(t, 5)
			c.wantInOrder(t, 5)
			select {
			case err := <-ended:
				t.Fatalf("Run ended: %v", err)
			default:
			}
			if n := d.Stats().Streams; n != 2 {
				t.Errorf("%d streams, want 2", n)
			}
		})
	}
}

// SPEC 2.13
func TestFinalReasonsEndRun(t *testing.T) {
	reasons := map[protocol.Reason]error{
		protocol.ReasonSuperseded: ErrSuperseded, protocol.ReasonDisconnected: ErrDisconnected,
		protocol.ReasonUnauthenticated: ErrUnauthenticated, protocol.ReasonPermissionDenied: ErrPermissionDenied,
	}
	overEach(t, func(t *testing.T, tr Transport) {
		for reason, want := range reasons {
			s := newServer(t)
			s.script = func(_ int, s *scripted) {
				s.hello(helloFor(s.opening))
				s.away(&protocol.GoAway{Reason: reason, Detail: "because"})
			}
			_, ended := start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(newCollector())})
			if err := await(t, "Run's end", ended); !errors.Is(err, want) {
				t.Errorf("%v: Run ended with %v, want %v", reason, err, want)
			}
		}
	})
}

func TestARefusedParameterEndsRun(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		s.gate = func(opening) *protocol.Error { return protocol.Invalidf("device is too long") }
		_, ended := start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(newCollector())})
		if err := await(t, "Run's end", ended); !errors.Is(err, ErrInvalid) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

// SPEC 2.13: after 401 another token is asked for, and the one that was refused is not sent twice.
func TestARefusedTokenIsNotTriedAgain(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		s.gate = func(o opening) *protocol.Error {
			if o.Token != "good" {
				return protocol.Errorf(protocol.CodeUnauthenticated, "token is %s", o.Token)
			}
			return nil
		}
		s.script = mailbox(1, never)
		var asked atomic.Int32
		c := newCollector()
		start(t, s, DeviceConfig{
			Transports: []Transport{tr},
			Token: func(context.Context) (string, error) {
				switch asked.Add(1) {
				case 1, 2, 3, 4:
					return "bad", nil
				case 5:
					return "", errUnready
				}
				return "good", nil
			},
			Handler: collect(c),
		})
		c.await(t, 1)
		bad := 0
		for _, o := range s.opened() {
			if o.Token == "bad" {
				bad++
			}
		}
		if bad != 1 {
			t.Errorf("the refused token was sent %d times", bad)
		}
	})
}

// jwt is a token that ends at exp, unsigned: the device does not verify.
func jwt(name string, exp time.Time) string {
	claims := fmt.Sprintf(`{"sub":%q,"exp":%d.%03d}`, name, exp.Unix(), exp.UnixMilli()%1000)
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
}

// SPEC 4: a two-way stream is refreshed, SSE is handed over, before the token expires.
func TestTokensAreRenewedBeforeTheyExpire(t *testing.T) {
	for _, tr := range []Transport{WSProto, WSJSON, GRPC, SSE} {
		t.Run(string(tr), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			first, second := jwt("first", time.Now().Add(1500*time.Millisecond)), jwt("second", time.Now().Add(time.Hour))
			renewed := make(chan string, 2)
			s.script = func(n int, s *scripted) {
				s.hello(helloFor(s.opening))
				if n == 1 {
					renewed <- s.Token
				}
				if s.recv != nil {
					if f, ok := s.recv(); ok && f.Kind == protocol.FrameRefresh {
						renewed <- f.Token
					}
				}
				<-s.gone
			}
			var asked atomic.Int32
			start(t, s, DeviceConfig{
				Transports: []Transport{tr},
				Token: func(context.Context) (string, error) {
					if asked.Add(1) == 1 {
						return first, nil
					}
					return second, nil
				},
				Handler: collect(newCollector()),
			})
			if got := await(t, "a new token", renewed); got != second {
				t.Errorf("renewed with %s", got)
			}
		})
	}
}

// An error of the handler is a message not processed: it comes again, on a new stream, before those behind it.
func TestAFailedMessageComesAgain(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		s.script = mailbox(10, never)
		c := newCollector()
		failures := 0
		d, _ := start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: func(_ context.Context, m *Message) error {
			if m.ID == "m4" && failures < 2 {
				failures++
				return errUnready
			}
			c.add(m)
			return nil
		}})
		c.await(t, 10)
		c.wantInOrder(t, 10)
		if st := d.Stats(); st.HandlerErrors != 2 || st.Streams != 3 {
			t.Errorf("%d handler errors, %d streams; want 2 and 3", st.HandlerErrors, st.Streams)
		}
	})
}

func TestAGapOpensTheNextStream(t *testing.T) {
	s := newServer(t)
	s.script = func(n int, s *scripted) {
		s.hello(helloFor(s.opening))
		for i := placeOf(s.Cursor) + 1; i <= 5; i++ {
			if n == 0 && i == 3 {
				continue
			}
			s.push(pushOf(i))
		}
		<-s.gone
	}
	c := newCollector()
	d, _ := start(t, s, DeviceConfig{Transports: []Transport{SSE}, Handler: collect(c)})
	c.await(t, 5)
	c.wantInOrder(t, 5)
	if d.Stats().Gaps != 1 {
		t.Errorf("%d gaps counted", d.Stats().Gaps)
	}
}

func TestTheCursorSurvivesARestart(t *testing.T) {
	s := newServer(t)
	s.script = mailbox(6, func(stream int) int {
		if stream == 0 {
			return 4 // hello and m1 to m3
		}
		return 0
	})
	store := FileCursor(filepath.Join(t.TempDir(), "cursor"))
	c := newCollector()
	for want := range 2 {
		d, err := New(DeviceConfig{URL: s.URL, Transports: []Transport{SSE}, User: "u", Device: "d", Cursors: store, Handler: func(ctx context.Context, m *Message) error {
			c.add(m)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		c.await(t, 3*(want+1))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.wantInOrder(t, 6)
}

// SPEC 5: a server that takes no stream now says when to come back.
func TestARefusedSSEStreamComesBackWhenTold(t *testing.T) {
	s := newServer(t)
	s.script = func(n int, s *scripted) {
		if n == 0 {
			s.away(&protocol.GoAway{Reason: protocol.ReasonResourceExhausted, Detail: "too many"})
			return
		}
		mailbox(1, never)(n, s)
	}
	delay := make(chan time.Duration, 1)
	c := newCollector()
	start(t, s, DeviceConfig{Transports: []Transport{SSE, Poll}, FallbackAfter: 1, Handler: collect(c), OnState: func(st StateChange) {
		if st.State == StateWaiting {
			delay <- st.Delay
		}
	}})
	c.await(t, 1)
	if got := await(t, "a pause", delay); got != 50*time.Millisecond {
		t.Errorf("came back after %v, was told 50ms", got)
	}
	if last := s.opened(); last[len(last)-1].transport != SSE {
		t.Error("a server's own refusal made the device fall back")
	}
}

// A new context reaches the server over every transport, without a restart.
func TestAContextChangesWhileOnline(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		got := make(chan *protocol.DeviceContext, 10)
		s.script = func(n int, s *scripted) {
			s.hello(helloFor(s.opening))
			if s.Context != nil && s.Context.App == "new" {
				got <- s.Context
			}
			if s.recv != nil {
				f, _ := s.recv()
				got <- f.Context
			}
			if s.transport != Poll {
				<-s.gone
			}
		}
		online := make(chan struct{}, 10)
		d, _ := start(t, s, DeviceConfig{
			Transports: []Transport{tr}, Context: &DeviceContext{App: "old", Labels: map[string]string{"tier": "gold"}},
			Handler: collect(newCollector()), OnHello: func(Hello) { online <- struct{}{} },
		})
		await(t, "hello", online)
		if err := d.SetContext(&DeviceContext{App: "new"}); err != nil {
			t.Fatal(err)
		}
		if c := await(t, "the new context", got); c == nil || c.App != "new" || c.Labels["tier"] != "" {
			t.Errorf("the server got %+v", c)
		}
	})
}

// An ack that the server cannot honour is no place to go on from: the next stream finds out where the device stands.
func TestARefusedAckOpensTheNextStream(t *testing.T) {
	s := newServer(t)
	s.acked = func(string) *protocol.Error { return protocol.Invalidf("cursor is of another store") }
	second := make(chan opening, 1)
	s.script = func(n int, s *scripted) {
		if n == 1 {
			second <- s.opening
		}
		mailbox(4, never)(n, s)
	}
	start(t, s, DeviceConfig{Transports: []Transport{SSE}, Window: 4, Handler: collect(newCollector())})
	if o := await(t, "a second stream", second); o.Cursor == "" {
		t.Error("opened without a cursor")
	}
}

// SPEC 2.3: what the server no longer knows is begun anew, and what was processed is not handled twice.
func TestAWipedStoreIsBegunAnew(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		s.script = func(n int, s *scripted) {
			o := s.opening
			o.Cursor = ""
			s.hello(helloFor(o))
			for i := 1; i <= 3+n; i++ {
				s.push(pushOf(i))
			}
			if n > 2 && tr != Poll {
				<-s.gone
			}
		}
		c := newCollector()
		start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: collect(c)})
		c.await(t, 6)
		for i, id := range c.got()[:6] {
			if want := fmt.Sprintf("m%d", i+1); id != want {
				t.Errorf("message %d is %s, want %s", i, id, want)
			}
		}
	})
}
