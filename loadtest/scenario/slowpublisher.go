package scenario

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
	"ramen/protocol"
)

const (
	slowBatch    = 1 << 20          // bytes of payload in one request
	mostBatch    = 1000             // messages in it, SPEC 8.3.1
	mostRefusals = 20               // kinds that are told apart
	slowLeast    = 16               // bytes of a payload
	slowTTL      = 30 * time.Minute // longer than any run waits
	slowPublish  = 10 * time.Second
)

// The lanes of both kinds of messages.
var highLane, lowLane = uint8(protocol.PriorityHigh.Lane()), uint8(protocol.PriorityLow.Lane())

// keepPending publishes low messages so that Pending bytes of them always wait.
func (s *slowBench) keepPending(ctx context.Context) {
	batch := min(max(1, slowBatch/s.p.Payload), mostBatch)
	for ctx.Err() == nil && !isClosed(s.done) {
		s.mu.Lock()
		want := s.p.Pending/s.p.Payload - (int(s.sent[lowLane]) - s.lows)
		s.mu.Unlock()
		if want > 0 {
			s.publish(ctx, lowLane, min(want, batch), time.Time{})
			continue
		}
		select {
		case <-s.more:
		case <-s.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// interval is the mean between two high messages.
func (s *slowBench) interval() time.Duration { return time.Duration(float64(time.Second) / s.p.Rate) }

// publishHighs publishes high messages at random moments until end: each when it is due, however long the last one takes.
func (s *slowBench) publishHighs(ctx context.Context, end time.Time) error {
	s.doing.set("measure")
	due := time.Now()
	for {
		due = due.Add(time.Duration(float64(s.interval()) * (0.5 + rand.Float64())))
		if due.After(end) {
			return publisher.Pause(ctx, time.Until(end))
		}
		if err := publisher.Pause(ctx, time.Until(due)); err != nil {
			return err
		}
		s.publish(ctx, highLane, 1, due)
	}
}

// publish publishes n messages of a lane. One lane is published by one goroutine, so that its order is known.
func (s *slowBench) publish(ctx context.Context, lane uint8, n int, due time.Time) {
	size := s.p.Payload
	if lane == highLane {
		size = slowHigh
	}
	payload := []byte(`"` + strings.Repeat("x", size-2) + `"`)
	names := make([]expect.Name, n)
	list := make([]protocol.Publish, n)
	s.mu.Lock()
	for i := range list {
		s.sent[lane]++
		names[i] = expect.Name{Lane: lane, N: s.sent[lane]}
		if lane == highLane {
			s.due[s.sent[lane]] = due
		}
		list[i] = protocol.Publish{
			User: s.user, ID: string(expect.AppendID(nil, s.expected.Run, names[i])), Type: "load",
			Priority: protocol.LanePriority(int(lane)), Payload: payload, TTLMS: slowTTL.Milliseconds(),
		}
	}
	s.mu.Unlock()
	results, err := s.post(ctx, list)
	if err != nil || len(results) != n {
		for _, m := range names {
			s.excepted(m, expect.Unknown, fmt.Sprintf("no answer: %v", err))
		}
		_ = publisher.Pause(ctx, slowLook)
		return
	}
	for i := range results {
		if e := results[i].Err; e != nil {
			s.excepted(names[i], expect.Refused, string(e.Code))
		}
	}
}

// excepted notes a message that need not come.
func (s *slowBench) excepted(m expect.Name, why expect.Exception, text string) {
	s.expected.Except(m, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.refused) < mostRefusals {
		s.refused[text]++
	}
	if m.Lane == highLane {
		delete(s.due, m.N)
	} else {
		s.lows++ // it does not wait
	}
}

func (s *slowBench) post(ctx context.Context, list []protocol.Publish) ([]protocol.PublishResult, error) {
	ctx, cancel := context.WithTimeout(ctx, slowPublish)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.server.Backends+"/v1/publish", bytes.NewReader(protocol.AppendPublishBatchJSON(nil, list)))
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scenario: publish: %s: %.200s", resp.Status, answer)
	}
	return protocol.DecodePublishResults(answer)
}
