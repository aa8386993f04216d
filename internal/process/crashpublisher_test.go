package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ramen/protocol/ramenpb"
)

// crashPublisher publishes batches, and tries again, under the same ids, what was not answered.
type crashPublisher struct {
	c      *crash
	index  int
	number int
	rng    *rand.Rand
}

const (
	publishPause = 15 * time.Millisecond
	pipelined    = 6 // requests of a PublishStream sent ahead of their answers
)

// run publishes until ctx ends and then until all of it is answered.
func (p *crashPublisher) run(ctx context.Context, grpc bool) {
	life := p.c.t.Context()
	for ctx.Err() == nil {
		at, ok := p.c.awaitUp(life)
		if !ok {
			return
		}
		if grpc {
			p.pipeline(ctx, at)
		} else {
			p.insist(life, p.batch(), func(at addresses, batch []*publication) []string { return p.post(life, at, batch) })
		}
		p.c.after(publishPause)
	}
}

// batch makes messages for several users.
func (p *crashPublisher) batch() []*publication {
	batch := make([]*publication, 1+p.rng.IntN(24))
	for i := range batch {
		p.number++
		m := &publication{
			id: fmt.Sprintf("p%d-%06d", p.index, p.number), user: fmt.Sprintf("user-%d", p.rng.IntN(crashUsers)),
			priority: []string{"high", "medium", "low"}[p.rng.IntN(3)], publisher: p.index, number: p.number,
			brief: p.rng.IntN(20) == 0,
		}
		if p.rng.IntN(5) == 0 {
			m.device = "device-0"
		}
		batch[i] = m
	}
	return batch
}

func (m *publication) payload() []byte {
	b, _ := json.Marshal(map[string]any{"ID": m.id, "Publisher": m.publisher, "Number": m.number, "Pad": strings.Repeat("x", m.number%700)})
	return b
}

func (m *publication) ttlMS() uint32 {
	if m.brief {
		return 1500
	}
	return 0
}

// insist publishes a batch until every message of it is accepted. try answers a status a message; "" is no answer.
func (p *crashPublisher) insist(ctx context.Context, batch []*publication, try func(addresses, []*publication) []string) {
	for len(batch) > 0 {
		at, ok := p.c.awaitUp(ctx)
		if !ok {
			return
		}
		batch = p.settle(batch, try(at, batch))
		if len(batch) > 0 {
			p.c.after(publishPause)
		}
	}
}

// settle notes what was answered and returns what is to be tried again.
func (p *crashPublisher) settle(batch []*publication, statuses []string) []*publication {
	var again []*publication
	for i, m := range batch {
		status := ""
		if i < len(statuses) {
			status = statuses[i]
		}
		switch status {
		case "accepted", "duplicate":
			p.c.accept(m)
		case "":
			again = append(again, m)
		case "unavailable", "resource_exhausted":
			p.c.overtaken(m) // those behind it may be accepted before it
			again = append(again, m)
		default:
			p.c.t.Errorf("publish of %s: %s", m.id, status)
		}
	}
	return again
}

// post publishes over HTTP.
func (p *crashPublisher) post(ctx context.Context, at addresses, batch []*publication) []string {
	var list []map[string]any
	for _, m := range batch {
		v := map[string]any{"user": m.user, "id": m.id, "priority": m.priority, "payload": json.RawMessage(m.payload())}
		if m.device != "" {
			v["device"] = m.device
		}
		if m.brief {
			v["ttl_ms"] = m.ttlMS()
		}
		list = append(list, v)
	}
	body, _ := json.Marshal(map[string]any{"messages": list})
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.backends+"/v1/publish", bytes.NewReader(body))
	resp, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	var answer struct {
		Results []struct {
			Status string
			Error  struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode != http.StatusOK {
		p.c.t.Errorf("publish: %s: %s", resp.Status, text)
	}
	var statuses []string
	for _, r := range answer.Results {
		if r.Status == "rejected" {
			r.Status = r.Error.Code
		}
		statuses = append(statuses, r.Status)
	}
	return statuses
}

// pipeline publishes over one PublishStream until it breaks or ctx ends, and then insists on what it left open.
func (p *crashPublisher) pipeline(ctx context.Context, at addresses) {
	life := p.c.t.Context()
	conn, err := grpc.NewClient(at.backendsGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.c.t.Error(err)
		return
	}
	defer conn.Close()
	streamed, cancel := context.WithTimeout(life, patience)
	defer cancel()
	stream, err := ramenpb.NewBackendClient(conn).PublishStream(streamed)
	for err == nil && ctx.Err() == nil {
		var sent [][]*publication
		for range pipelined {
			sent = append(sent, p.batch())
			if err == nil {
				err = stream.Send(request(sent[len(sent)-1]))
			}
		}
		var open []*publication
		for _, batch := range sent {
			var statuses []string
			if err == nil || errors.Is(err, io.EOF) {
				statuses, err = receive(stream)
			}
			open = append(open, p.settle(batch, statuses)...)
		}
		p.insist(life, open, func(at addresses, batch []*publication) []string { return p.post(life, at, batch) })
		p.c.after(pipelined * publishPause)
	}
}

func request(batch []*publication) *ramenpb.PublishRequest {
	r := &ramenpb.PublishRequest{}
	for _, m := range batch {
		r.Messages = append(r.Messages, &ramenpb.Publish{
			User: m.user, Device: m.device, Id: m.id, Payload: m.payload(), TtlMs: m.ttlMS(),
			Priority: ramenpb.Priority(ramenpb.Priority_value["PRIORITY_"+strings.ToUpper(m.priority)]),
		})
	}
	return r
}

func receive(stream grpc.BidiStreamingClient[ramenpb.PublishRequest, ramenpb.PublishResponse]) ([]string, error) {
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var statuses []string
	for _, r := range answer.Results {
		status := strings.ToLower(r.Status.String())
		if r.Status == ramenpb.PublishResult_REJECTED {
			status = r.Error.GetCode()
		}
		statuses = append(statuses, status)
	}
	return statuses, nil
}
