package ramen

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ramen/protocol"
)

// overBoth runs test with a publisher over each of the two ports.
func overBoth(t *testing.T, cfg PublisherConfig, test func(t *testing.T, s *publishServer, p *Publisher)) {
	for _, port := range []string{"http", "grpc"} {
		t.Run(port, func(t *testing.T) {
			s := newPublishServer(t)
			cfg := cfg
			if cfg.URL = s.URL; port == "grpc" {
				cfg.GRPC = s.GRPC
			}
			p, err := NewPublisher(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s, p)
		})
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestPublishSaysEverything(t *testing.T) {
	overBoth(t, PublisherConfig{Key: "k"}, func(t *testing.T, s *publishServer, p *Publisher) {
		m := Publication{
			User: "u", Device: "d", ID: "i", Type: "t", Priority: High, Payload: []byte(`{"a": 1}`), TTL: 5 * time.Second,
			CollapseKey: "c", Headers: map[string]string{"h": "1"}, Where: map[string]string{"app": "x"},
		}
		r, err := p.Publish(within(t), m)
		if err != nil || r.ID != "i" || r.Status != Accepted || r.Devices != 1 || r.User != "u" {
			t.Fatalf("%+v, %v", r, err)
		}
		got := s.seen()[0][0]
		if got.User != "u" || got.Device != "d" || got.ID != "i" || got.Type != "t" || got.Priority != High ||
			string(got.Payload) != `{"a":1}` || got.TTLMS != 5000 || got.CollapseKey != "c" || got.Headers["h"] != "1" || got.Where["app"] != "x" {
			t.Errorf("the server got %+v", got)
		}
		if s.keys[0] != "Bearer k" {
			t.Errorf("the server got the key %q", s.keys[0])
		}
	})
}

func TestBinaryPayloadsArriveAsTheyAre(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		payload := []byte{0, 1, 2, 255}
		if _, err := p.Publish(within(t), Publication{User: "u", Payload: payload, ContentType: "application/x-thing"}); err != nil {
			t.Fatal(err)
		}
		if got := s.seen()[0][0]; !reflect.DeepEqual(got.Payload, payload) || got.ContentType != "application/x-thing" {
			t.Errorf("the server got %+v", got)
		}
	})
}

// SPEC 9: the id that was drawn at first is kept.
func TestRetriesKeepTheID(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		s.refuse = func(n int) *protocol.Error {
			switch n {
			case 0:
				return protocol.Errorf("cut", "no answer")
			case 1:
				return protocol.Errorf(protocol.CodeUnavailable, "no owner")
			}
			return nil
		}
		s.answer = func(n int, m *protocol.Publish, user string) protocol.PublishResult {
			if n == 2 {
				return protocol.PublishResult{ID: m.ID, Status: protocol.PublishRejected, Err: protocol.Errorf(protocol.CodeResourceExhausted, "mailbox is full")}
			}
			return protocol.PublishResult{ID: m.ID, Status: protocol.PublishDuplicate}
		}
		r, err := p.Publish(within(t), Publication{User: "u"})
		if err != nil || r.Status != Duplicate {
			t.Fatalf("%+v, %v", r, err)
		}
		seen := s.seen()
		if len(seen) != 4 {
			t.Fatalf("%d requests", len(seen))
		}
		for _, req := range seen {
			if req[0].ID == "" || req[0].ID != r.ID {
				t.Errorf("id %q, result's is %q", req[0].ID, r.ID)
			}
		}
	})
}

func TestWhatIsWrongIsNotTriedAgain(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		s.answer = func(_ int, m *protocol.Publish, _ string) protocol.PublishResult {
			return protocol.PublishResult{ID: m.ID, Status: protocol.PublishRejected, Err: protocol.Errorf(protocol.CodeTooLarge, "payload is too large")}
		}
		_, err := p.Publish(within(t), Publication{User: "u"})
		var e *Error
		if !errors.As(err, &e) || e.Code != protocol.CodeTooLarge {
			t.Errorf("error is %v", err)
		}
		s.refuse = func(int) *protocol.Error { return protocol.Errorf(protocol.CodeUnauthenticated, "bad key") }
		if _, err = p.Publish(within(t), Publication{User: "u"}); !errors.As(err, &e) || e.Code != protocol.CodeUnauthenticated {
			t.Errorf("error is %v", err)
		}
		if n := len(s.seen()); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

// One bad message, or user, is refused by itself; the others' request is not spoiled.
func TestABadMessageIsRefusedAlone(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		results, err := p.PublishAll(within(t), []Publication{
			{User: "u1", Payload: []byte(`{"n":`)},
			{User: "u2"},
			{Users: []string{"u3", "bad user", "\xff", "u4"}},
			{User: "u5", TTL: time.Microsecond},
			{User: "u6", Users: []string{"u7"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range results {
			got = append(got, fmt.Sprintf("%s %s %v", strings.ToValidUTF8(r.User, "?"), r.Status, r.Err != nil))
		}
		want := []string{"u1 rejected true", "u2 accepted false", "u3 accepted false", "bad user rejected true", "? rejected true",
			"u4 accepted false", "u5 rejected true", "u7 rejected true"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// Of a message to many users only those are tried again that were not taken.
func TestOnlyTheUnservedAreTriedAgain(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		s.answer = func(n int, m *protocol.Publish, user string) protocol.PublishResult {
			if n == 0 && user == "u2" {
				return protocol.PublishResult{ID: m.ID, Status: protocol.PublishRejected, Err: protocol.Errorf(protocol.CodeUnavailable, "no owner")}
			}
			return accept(n, m, user)
		}
		results, err := p.PublishAll(within(t), []Publication{{Users: []string{"u1", "u2", "u3"}}, {User: "u4"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Status != Accepted {
				t.Errorf("%+v", r)
			}
		}
		again := s.seen()[1]
		if len(again) != 1 || !reflect.DeepEqual(again[0].Users, []string{"u2"}) {
			t.Errorf("tried again: %+v", again)
		}
	})
}

func TestPublishAllKeepsTheOrderAcrossRequests(t *testing.T) {
	overBoth(t, PublisherConfig{MaxBatch: 7}, func(t *testing.T, s *publishServer, p *Publisher) {
		var ms []Publication
		for i := range 50 {
			ms = append(ms, Publication{User: "u", ID: fmt.Sprint(i)})
		}
		if _, err := p.PublishAll(within(t), ms); err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, req := range s.seen() {
			if len(req) > 7 {
				t.Errorf("%d messages in a request", len(req))
			}
			for _, m := range req {
				if m.ID != fmt.Sprint(next) {
					t.Fatalf("message %s came for %d", m.ID, next)
				}
				next++
			}
		}
		if next != 50 {
			t.Errorf("%d messages came", next)
		}
	})
}

func TestCallersShareRequests(t *testing.T) {
	overBoth(t, PublisherConfig{InFlight: 1, Linger: 20 * time.Millisecond}, func(t *testing.T, s *publishServer, p *Publisher) {
		var callers sync.WaitGroup
		for i := range 200 {
			callers.Go(func() {
				if _, err := p.Publish(within(t), Publication{User: fmt.Sprint("u", i)}); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if n := len(s.seen()); n > 50 {
			t.Errorf("%d requests for 200 messages at once", n)
		}
	})
}

func TestAContextEndsTheRetries(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		ctx, cancel := context.WithCancel(context.Background())
		s.refuse = func(n int) *protocol.Error {
			if n == 1 {
				cancel()
			}
			return protocol.Errorf(protocol.CodeUnavailable, "no owner")
		}
		r, err := p.Publish(ctx, Publication{User: "u"})
		if !errors.Is(err, context.Canceled) || r.ID == "" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// awaitCall waits until a call is under way.
func awaitCall(p *Publisher) {
	for {
		p.mu.Lock()
		calls := p.calls
		p.mu.Unlock()
		if calls == 1 {
			return
		}
		runtime.Gosched()
	}
}

func TestCloseEndsCalls(t *testing.T) {
	overBoth(t, PublisherConfig{Linger: time.Hour}, func(t *testing.T, s *publishServer, p *Publisher) {
		ended := make(chan error, 1)
		go func() {
			_, err := p.Publish(context.Background(), Publication{User: "u"})
			ended <- err
		}()
		awaitCall(p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if err := await(t, "the call's end", ended); !errors.Is(err, ErrClosed) {
			t.Errorf("ended with %v", err)
		}
		if _, err := p.Publish(context.Background(), Publication{User: "u"}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestFlushSendsWhatLingers(t *testing.T) {
	overBoth(t, PublisherConfig{Linger: time.Hour}, func(t *testing.T, s *publishServer, p *Publisher) {
		ended := make(chan error, 1)
		go func() {
			_, err := p.Publish(context.Background(), Publication{User: "u"})
			ended <- err
		}()
		awaitCall(p)
		if err := p.Flush(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := await(t, "the call's end", ended); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatBackendsAskFor(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		ctx := within(t)
		devices, err := p.Devices(ctx, "u")
		want := []KnownDevice{{Device: "d1", Online: true, Transport: "ws", Context: DeviceContext{App: "a", Labels: map[string]string{"x": "y"}},
			Connected: time.UnixMilli(1000), LastSeen: time.UnixMilli(2000), Pending: 3, Unacked: 2, RTT: 7 * time.Millisecond}}
		if err != nil || !reflect.DeepEqual(devices, want) {
			t.Errorf("devices: %+v, %v", devices, err)
		}
		messages, err := p.Messages(ctx, "u")
		if err != nil || len(messages) != 2 || string(messages[0].Payload) != `{"n":1}` || messages[0].Priority != High ||
			string(messages[1].Payload) != "\x01\x02" || messages[1].ContentType != "x/y" {
			t.Errorf("messages: %+v, %v", messages, err)
		}
		if ok, err := p.Recall(ctx, "a/b", "there"); !ok || err != nil {
			t.Errorf("recall: %v, %v", ok, err)
		}
		if ok, err := p.Recall(ctx, "a/b", "gone"); ok || err != nil {
			t.Errorf("recall of what is gone: %v, %v", ok, err)
		}
		if n, err := p.Disconnect(ctx, "u", "d1", "bye"); n != 1 || err != nil {
			t.Errorf("disconnect: %d, %v", n, err)
		}
	})
}

func TestAnAnswerWithoutAStatusIsARefusal(t *testing.T) {
	overBoth(t, PublisherConfig{}, func(t *testing.T, s *publishServer, p *Publisher) {
		for _, status := range []Status{protocol.PublishUnspecified, protocol.PublishRejected} {
			s.answer = func(_ int, m *protocol.Publish, _ string) protocol.PublishResult {
				return protocol.PublishResult{ID: m.ID, Status: status}
			}
			if r, err := p.Publish(within(t), Publication{User: "u"}); err == nil || r.Status != Rejected {
				t.Errorf("%+v, %v", r, err)
			}
		}
	})
}
