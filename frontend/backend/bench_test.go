package backend

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"ramen/link"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// accepting accepts everything at no cost, so that what is measured is this package's own.
type accepting struct{ Router }

func (accepting) Publish(_ context.Context, batch []link.Publish) []link.Result {
	results := make([]link.Result, len(batch))
	for i := range results {
		results[i] = link.Result{Status: link.StatusAccepted, Devices: 1}
	}
	return results
}

func benchServer(b *testing.B) *Server {
	s, err := New(Default(), accepting{}, nil, prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchMessages(n int) []protocol.Publish {
	payload := make([]byte, 0, 256)
	payload = append(payload, `{"text":"`...)
	for len(payload) < 254 {
		payload = append(payload, 'x')
	}
	payload = append(payload, `"}`...)
	messages := make([]protocol.Publish, n)
	for i := range messages {
		messages[i] = protocol.Publish{User: fmt.Sprintf("user-%04d", i), ID: fmt.Sprintf("id-%08d", i), Type: "trip.offer",
			Priority: protocol.PriorityHigh, Payload: payload, TTLMS: 30000}
	}
	return messages
}

// One message is one op, in batches of n.
func benchBatches(b *testing.B, n int, run func()) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		run()
	}
}

func BenchmarkPublishJSON(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchServer(b)
			body := protocol.AppendPublishBatchJSON(nil, benchMessages(n))
			var out []byte
			benchBatches(b, n, func() {
				batch, _, err := s.prepareJSON(body)
				if err != nil {
					b.Fatal(err)
				}
				s.publish(context.Background(), sideHTTP, batch)
				out = protocol.AppendPublishResults(out[:0], batch.results)
			})
		})
	}
}

func BenchmarkPublishProto(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, c := benchServer(b), newCodec()
			body, err := proto.Marshal(requestProto(benchMessages(n)))
			if err != nil {
				b.Fatal(err)
			}
			data := mem.BufferSlice{mem.SliceBuffer(body)}
			benchBatches(b, n, func() {
				in := &publishRequest{server: s}
				if err := c.Unmarshal(data, in); err != nil || in.err != nil {
					b.Fatal(err, in.err)
				}
				s.publish(context.Background(), sideGRPC, in.batch)
				out, err := c.Marshal(&publishResponse{in.batch.results})
				if err != nil {
					b.Fatal(err)
				}
				out.Free()
			})
		})
	}
}

// Over real sockets, client included.
func BenchmarkPublishGRPC(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b, nil, nil)
			r.server.router = accepting{}
			in := requestProto(benchMessages(n))
			benchBatches(b, n, func() {
				if _, err := r.grpc.Publish(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// One message a request, pipelined over one stream and one real socket, client included.
func BenchmarkPublishStream(b *testing.B) {
	r := newRig(b, nil, nil)
	r.server.router = accepting{}
	stream, err := r.grpc.PublishStream(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	in := requestProto(benchMessages(1))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			if err := stream.Send(in); err != nil {
				b.Error(err)
				return
			}
		}
		stream.CloseSend()
	}()
	n := 0
	for ; ; n++ {
		if _, err := stream.Recv(); err != nil {
			break
		}
	}
	if n != b.N {
		b.Fatalf("%d answers to %d requests", n, b.N)
	}
}

func BenchmarkPublishHTTP(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b, nil, nil)
			r.server.router = accepting{}
			body := string(protocol.AppendPublishBatchJSON(nil, benchMessages(n)))
			benchBatches(b, n, func() {
				if res, got := r.do(b, "POST", "/v1/publish", body); res.StatusCode != 200 {
					b.Fatal(got)
				}
			})
		})
	}
}

// requestProto is messages as generated code has them.
func requestProto(messages []protocol.Publish) *ramenpb.PublishRequest {
	out := new(ramenpb.PublishRequest)
	for i := range messages {
		m := &messages[i]
		out.Messages = append(out.Messages, &ramenpb.Publish{User: m.User, Users: m.Users, Device: m.Device, Id: m.ID, Type: m.Type,
			Priority: ramenpb.Priority(m.Priority), Payload: m.Payload, ContentType: m.ContentType, TtlMs: uint32(m.TTLMS),
			CollapseKey: m.CollapseKey, Headers: m.Headers, Where: m.Where})
	}
	return out
}

// Beside its strings and its payload, a message of a batch takes no memory of its own.
func TestAllocationsOfABatch(t *testing.T) {
	s, err := New(Default(), accepting{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	const n = 100
	json := protocol.AppendPublishBatchJSON(nil, benchMessages(n))
	pb, err := proto.Marshal(requestProto(benchMessages(n)))
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func(){
		"json":  func() { b, _, _ := s.prepareJSON(json); s.publish(context.Background(), sideHTTP, b) },
		"proto": func() { b, _ := s.prepareProto(pb); s.publish(context.Background(), sideGRPC, b) },
	} {
		// user, id, type, payload; and 50 for the request, which leaves room for a pool that was emptied
		most := 4.0*n + 50
		if poolsForget {
			most += 2 * n // what compacts a payload
		}
		if got := testing.AllocsPerRun(50, run); got > most {
			t.Errorf("%s: %v allocations for %d messages", name, got, n)
		}
	}
}
