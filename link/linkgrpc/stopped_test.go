package linkgrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/link/linkgrpc/linkpb"
	"ramen/link/linktest"
	"ramen/protocol"
)

func mustListen(t testing.TB, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(linktest.Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", linktest.Patience, what)
		}
	}
}

// pump is a gateway whose streams have endless messages, and push as much as they have credit for, as gateways do.
type pump struct {
	silent
	payload int

	mu      sync.Mutex
	streams []*pumped
}

type pumped struct {
	payload int
	to      link.Receiver

	mu     sync.Mutex
	credit int
	most   int // credit at once
	pushed int
	busy   bool
	closed bool
}

func (g *pump) Open(_ context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	s := &pumped{payload: g.payload, to: r}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streams = append(g.streams, s)
	return s, link.Opened{}, nil
}

func (g *pump) pushed() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.streams {
		s.mu.Lock()
		n += s.pushed
		s.mu.Unlock()
	}
	return n
}

func (s *pumped) Credit(n int) {
	s.mu.Lock()
	s.credit += n
	s.most = max(s.most, s.credit)
	start := !s.busy
	s.busy = true
	s.mu.Unlock()
	if start {
		s.push()
	}
}

func (s *pumped) push() {
	for {
		s.mu.Lock()
		if s.credit <= 0 || s.closed {
			s.busy = false
			s.mu.Unlock()
			return
		}
		s.pushed++
		p := protocol.Push{Seq: protocol.Seq(s.pushed), Cursor: "k", Message: &protocol.Message{ID: "m", Priority: protocol.PriorityHigh, Payload: make([]byte, s.payload)}}
		s.credit -= p.Cost()
		s.mu.Unlock()
		s.to.Push(0, []protocol.Push{p}, true)
	}
}

func (s *pumped) Ack(protocol.Seq, string)        {}
func (s *pumped) Refresh(*protocol.DeviceContext) {}
func (s *pumped) Measured(uint32)                 {}
func (s *pumped) Close(protocol.Reason)           { s.mu.Lock(); s.closed = true; s.mu.Unlock() }

// rawFrontend is a frontend that says what the test says. It reads nothing but the hello, unless the test does.
func rawFrontend(t *testing.T, address string) grpc.ClientStream {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{})), grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); _ = cc.Close() })
	s, err := cc.NewStream(ctx, &linkpb.Link_ServiceDesc.Streams[0], linkpb.Link_Attach_FullMethodName)
	if err != nil {
		t.Fatal(err)
	}
	say(t, s, func(b []byte) []byte {
		return frame.AppendHello(b, &frame.Hello{Version: 1, MinVersion: 1, From: "raw", To: "g1", Instance: "raw", Number: 1})
	})
	if _, err := receiveHello(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func say(t testing.TB, s conn, frames ...func(b []byte) []byte) {
	t.Helper()
	b := newBatch()
	for _, f := range frames {
		b.bytes = f(b.bytes)
	}
	if err := s.SendMsg(b); err != nil {
		t.Fatal(err)
	}
}

// TestFrontendThatReadsNothing: its process runs, and sends heartbeats, and takes nothing. What waits for it stays within half of the
// bound and what the gateway has credit for; then the link ends, and other links have not noticed.
func TestFrontendThatReadsNothing(t *testing.T) {
	const streams, limit = 200, 8 << 20
	gw := &pump{payload: 4 << 10}
	server, address := listen(t, gw, func(cfg *ServerConfig) { cfg.LinkBytes = limit })
	other := up(t, connect(t, nil).To("g1", address))

	s := rawFrontend(t, address)
	for i := range uint64(streams) {
		say(t, s, func(b []byte) []byte { return frame.AppendOpen(b, i+1, 0, &link.Open{User: "u", Device: "d"}) })
	}
	eventually(t, "all streams", func() bool { return server.metrics.streams.Load() == streams })
	for i := range uint64(streams) {
		say(t, s, func(b []byte) []byte { return frame.AppendCredit(b, i+1, 1<<40) })
	}
	most := 0.0
	for value(t, server.metrics.ends.WithLabelValues(endStalled)) == 0 {
		if most = max(most, server.queued()); value(t, server.metrics.ends.WithLabelValues(endOverflow)) > 0 {
			t.Fatalf("the outbox ran over; %v bytes waited", most)
		}
		if b := newBatch(); s.SendMsg(&batch{bytes: frame.AppendHeartbeat(b.bytes), sent: b.sent}) != nil {
			break
		}
		devices(t, other)
		time.Sleep(time.Millisecond)
	}
	eventually(t, "the end", func() bool { return value(t, server.metrics.ends.WithLabelValues(endStalled)) == 1 })
	t.Logf("%v bytes waited at most; %d pushes were made", most, gw.pushed())
	if most > limit*3/4 || most < limit/4 {
		t.Errorf("%v bytes waited; the bound is %d", most, limit)
	}
	if value(t, server.metrics.stalls) == 0 {
		t.Error("no credit was kept back")
	}
	eventually(t, "nothing to wait", func() bool { return server.queued() < 1<<10 })
	devices(t, other)
}

// TestGatewayThatIgnoresCredit: whatever is pushed, the bound holds: the link ends.
func TestGatewayThatIgnoresCredit(t *testing.T) {
	gw := &pump{payload: 64 << 10}
	server, address := listen(t, gw, func(cfg *ServerConfig) { cfg.LinkBytes = minBytes })
	s := rawFrontend(t, address)
	say(t, s, func(b []byte) []byte { return frame.AppendOpen(b, 1, 0, &link.Open{User: "u", Device: "d"}) })
	eventually(t, "the stream", func() bool { return server.metrics.streams.Load() == 1 })
	gw.mu.Lock()
	stream := gw.streams[0]
	gw.mu.Unlock()
	most := 0.0
	for i := 0; value(t, server.metrics.ends.WithLabelValues(endOverflow)) == 0; i++ {
		if i > 10*minBytes/gw.payload {
			t.Fatalf("the link stands though %v bytes wait", server.queued())
		}
		stream.to.Push(0, []protocol.Push{{Seq: 1, Message: &protocol.Message{ID: "m", Payload: make([]byte, gw.payload)}}}, false)
		most = max(most, server.queued())
		time.Sleep(100 * time.Microsecond)
	}
	if most > minBytes+2*float64(gw.payload) {
		t.Errorf("%v bytes waited", most)
	}
}

// deafGateway says hello and heartbeats, and reads nothing more.
type deafGateway struct {
	linkpb.UnimplementedLinkServer
	speaks bool
}

func (g deafGateway) Attach(stream grpc.BidiStreamingServer[linkpb.Batch, linkpb.Batch]) error {
	if _, err := receiveHello(stream); err != nil {
		return err
	}
	for hello := true; stream.Context().Err() == nil; hello = false {
		b := newBatch()
		b.bytes = frame.AppendHeartbeat(b.bytes)
		if hello {
			b.bytes = frame.AppendHello(b.bytes[:0], &frame.Hello{Version: 1, MinVersion: 1, From: "g1"})
		}
		if err := stream.SendMsg(b); err != nil {
			return err
		}
		if !g.speaks {
			<-stream.Context().Done()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-stream.Context().Done():
		}
	}
	return nil
}

// TestGatewayThatReadsNothing: stopped altogether, or but for its heartbeats. What publishers hold is bounded, all of them are
// answered: those that may have gone out by ErrLost, the others by ErrNotSent; and streams are lost.
func TestGatewayThatReadsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		speaks bool
		end    string
	}{"stopped": {false, endSilent}, "deaf": {true, endStalled}} {
		t.Run(name, func(t *testing.T) {
			g := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(64<<10))
			linkpb.RegisterLinkServer(g, deafGateway{speaks: c.speaks})
			l := mustListen(t, "127.0.0.1:0")
			go func() { _ = g.Serve(l) }()
			defer g.Stop()
			client := connect(t, func(cfg *ClientConfig) { cfg.CallBytes = minBytes })
			gateway := up(t, client.To("g1", l.Addr().String()))
			message := &protocol.Message{ID: "m", Payload: make([]byte, 32<<10)}
			const publishers = 400 // 12 MB
			var notSent, lost, other int
			var mu sync.Mutex
			var all sync.WaitGroup
			for i := range publishers {
				all.Go(func() {
					r := gateway.Publish(t.Context(), []link.Publish{{User: protocol.UserID(fmt.Sprint("u", i)), Message: message}})
					mu.Lock()
					defer mu.Unlock()
					switch {
					case errors.Is(r[0].Err, link.ErrNotSent):
						notSent++
					case errors.Is(r[0].Err, link.ErrLost):
						lost++
					default:
						other++
					}
				})
			}
			eventually(t, "the end", func() bool {
				if held := client.queued(); held > minBytes+1<<20 {
					t.Fatalf("%v bytes wait", held)
				}
				return value(t, client.metrics.ends.WithLabelValues(c.end)) > 0
			})
			all.Wait()
			if other > 0 || lost == 0 || lost > publishers/8 || notSent+lost != publishers { // grpc takes no more than some batches
				t.Errorf("%d publishes are lost, %d were not sent, %d have another answer", lost, notSent, other)
			}
			if n := client.metrics.callBytes.Load(); n != 0 {
				t.Errorf("%v bytes of calls are counted that have ended", n)
			}
		})
	}
}

// TestSlowNetworkLosesNothing: a link that takes less than is pushed is not cut, holds no more than its bound, and every stream gets
// its pushes in order.
func TestSlowNetworkLosesNothing(t *testing.T) {
	const streams, each, limit = 20, 150, 4 << 20
	gw := &pump{payload: 4 << 10}
	server, address := listen(t, gw, func(cfg *ServerConfig) { cfg.LinkBytes = limit })
	p := slowProxy(t, address, 6_000)
	client := connect(t, nil)
	l := up(t, client.To("g1", p))
	var all sync.WaitGroup
	var opened [streams]link.Stream
	for i := range opened {
		r := &counting{t: t, want: each, done: make(chan struct{})}
		s, _, err := l.Open(t.Context(), link.Open{User: "u", Device: protocol.DeviceID(fmt.Sprint("d", i))}, r)
		if err != nil {
			t.Fatal(err)
		}
		opened[i] = s
		all.Go(func() {
			select {
			case <-r.done:
			case <-time.After(3 * linktest.Patience):
				t.Error("a stream gets no pushes any more")
			}
			s.Close(protocol.ReasonGone)
		})
	}
	for _, s := range opened { // all at once: each would fill the link by itself
		s.Credit(1 << 30)
	}
	stop := make(chan struct{})
	var most float64
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				most = max(most, server.queued())
			}
		}
	})
	all.Wait()
	close(stop)
	watching.Wait()
	t.Logf("%v bytes waited at most", most)
	if value(t, server.metrics.stalls) == 0 {
		t.Error("no credit was kept back")
	}
	if most > limit {
		t.Errorf("%v bytes waited; the bound is %d", most, limit)
	}
	for _, m := range []*metrics{client.metrics, server.metrics} {
		for _, why := range endReasons {
			if value(t, m.ends.WithLabelValues(why)) > 0 {
				t.Errorf("a link has ended: %s", why)
			}
		}
	}
}

// counting is a receiver that counts pushes, which must come in order.
type counting struct {
	t    *testing.T
	want int
	seq  protocol.Seq
	done chan struct{}
}

func (r *counting) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	for i := range batch {
		if r.seq++; batch[i].Seq != r.seq {
			r.t.Errorf("push %d comes where %d was next", batch[i].Seq, r.seq)
		}
		if r.seq == protocol.Seq(r.want) {
			close(r.done)
		}
	}
}
func (r *counting) Acked(link.Generation, protocol.Seq)             {}
func (r *counting) Closed(link.Generation, protocol.Reason, string) {}
func (r *counting) Lost(link.Generation, link.Loss)                 {}
