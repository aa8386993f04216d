package poll

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"ramen/frontend/admission"
	"ramen/frontend/stream"
	"ramen/link"
	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noOwner opens nothing.
type noOwner struct{}

func (noOwner) Open(context.Context, time.Duration, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	return nil, link.Opened{}, errors.New("no owner")
}

// What an owner promised and cannot send any more, since the rest expired while it was lost, does not hold up what came.
func TestPollAnswersWhatCameWhereTheRestIsGone(t *testing.T) {
	p, lk := newPoll(t, newSet(t))
	p.stream.Push(0, []protocol.Push{{Seq: 1, Cursor: "k1", Message: &protocol.Message{Priority: 1}}}, true)
	if !p.wait(t.Context(), time.Hour) || len(p.answer.Messages) != 1 {
		t.Fatalf("%+v", p.answer)
	}
	p.stream.Finish(protocol.ReasonNone, "")
	if lk.closed != 1 {
		t.Fatal("the stream is still open at its owner")
	}
}

// SPEC 5: no messages beside a goaway. What came in the same moment stays unacked, and goes to the next stream.
func TestPollThatIsToLeaveHasNoMessages(t *testing.T) {
	set := newSet(t)
	p, lk := newPoll(t, set)
	empty := make(chan struct{})
	var draining sync.WaitGroup
	draining.Go(func() { set.Drain(t.Context(), empty) })
	<-p.ready
	credit := lk.credit
	p.stream.Push(0, []protocol.Push{{Seq: 1, Cursor: "k1", Message: &protocol.Message{Priority: 1}}}, false)
	p.stream.Finish(protocol.ReasonNone, "")
	if a := p.answer; a.GoAway == nil || a.GoAway.Reason != protocol.ReasonDrain || len(a.Messages) != 0 {
		t.Fatalf("%+v", a)
	}
	if lk.credit != credit {
		t.Fatal("the owner was asked for more")
	}
	close(empty)
	draining.Wait()
}

// newSet is a Set without a server.
func newSet(t *testing.T) *stream.Set {
	t.Helper()
	set, err := stream.NewSet(stream.Default(), stream.Deps{Opener: noOwner{}, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// countLink is an owner's end of a stream that counts.
type countLink struct {
	link.Stream
	credit, closed int
}

func (l *countLink) Credit(n int)          { l.credit += n }
func (l *countLink) Close(protocol.Reason) { l.closed++ }

// newPoll opens a poll without a connection.
func newPoll(t *testing.T, set *stream.Set) (*deviceStream, *countLink) {
	t.Helper()
	p, lk := newStream(1<<20), &countLink{}
	p.stream.Init(set, &stream.Request{User: "u", Device: "d"}, protocol.TransportPoll, p)
	p.stream.Start(stream.Opened{Link: lk, Opened: link.Opened{Name: "s"}}, admission.Permit{}, func(*protocol.Hello) (stream.WriteResult, error) { return stream.WriteResult{}, nil })
	return p, lk
}
