package ramen

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// server speaks the wire contract to devices, over all transports and real sockets, by a script.
type server struct {
	t    testing.TB
	URL  string
	GRPC string

	// gate may refuse an opening before it becomes a stream; nil: none.
	gate func(o opening) *protocol.Error
	// script is a stream's life; its return ends the connection. n counts openings that passed the gate, from 0.
	script func(n int, s *scripted)
	// acked decides about acks by request; nil: all are well.
	acked func(cursor string) *protocol.Error

	mu    sync.Mutex
	opens []opening // guarded by mu: all that came
	count int       // guarded by mu: that passed
	acks  chan string
	done  chan struct{}
}

type opening struct {
	protocol.OpenFrame
	transport Transport
	wait      bool // a poll that may wait
}

// scripted is the server's end of one stream.
type scripted struct {
	opening
	t     testing.TB
	hello func(h *protocol.Hello)
	push  func(p *protocol.Push)
	beat  func()
	away  func(g *protocol.GoAway)
	raw   func(b string)                           // SSE and WebSocket: bytes as they are
	recv  func() (f protocol.DeviceFrame, ok bool) // two-way
	gone  <-chan struct{}                          // the device let go
}

func newServer(t testing.TB) *server {
	s := &server{t: t, acks: make(chan string, 4096), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/ramen/receive", s.sse)
	mux.HandleFunc("/ramen/ws", s.ws)
	mux.HandleFunc("/ramen/poll", s.poll)
	mux.HandleFunc("/ramen/ack", s.ack)
	h := httptest.NewServer(mux)
	s.URL = h.URL
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.GRPC = l.Addr().String()
	g := grpc.NewServer()
	ramenpb.RegisterDevicesServer(g, &grpcDevices{s: s})
	var served sync.WaitGroup
	served.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() {
		close(s.done)
		g.Stop()
		served.Wait()
		h.CloseClientConnections()
		h.Close()
	})
	return s
}

// enter notes an opening and asks the gate.
func (s *server) enter(o opening) (n int, refused *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens = append(s.opens, o)
	if s.gate != nil {
		if refused = s.gate(o); refused != nil {
			return 0, refused
		}
	}
	n = s.count
	s.count++
	return n, nil
}

func (s *server) opened() []opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]opening(nil), s.opens...)
}

func readOpening(r *http.Request, t Transport) opening {
	q := r.URL.Query()
	number := func(name string) uint32 { n, _ := strconv.ParseUint(q.Get(name), 10, 32); return uint32(n) }
	token := r.Header.Get("Authorization")
	if len(token) > 7 {
		token = token[7:]
	}
	return opening{transport: t, wait: q.Get("wait") != "0", OpenFrame: protocol.OpenFrame{
		User: protocol.UserID(q.Get("user")), Device: protocol.DeviceID(q.Get("device")), Cursor: q.Get("cursor"),
		Token: token, Window: number("window"), HeartbeatMS: number("heartbeat_ms"),
		Context: &protocol.DeviceContext{App: q.Get("app"), Labels: map[string]string{"tier": q.Get("label.tier")}},
	}}
}

func refuse(w http.ResponseWriter, e *protocol.Error) {
	if e.Code == "proxy" {
		http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
	}
	w.WriteHeader(e.Code.HTTPStatus())
	_, _ = w.Write(protocol.AppendErrorJSON(nil, e))
}

func (s *server) sse(w http.ResponseWriter, r *http.Request) {
	o := readOpening(r, SSE)
	n, refused := s.enter(o)
	if refused != nil {
		refuse(w, refused)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	write := func(b []byte) {
		_, _ = w.Write(b)
		w.(http.Flusher).Flush()
	}
	s.script(n, &scripted{
		opening: o, t: s.t, gone: either(r.Context().Done(), s.done),
		hello: func(h *protocol.Hello) { write(protocol.AppendSSEHello(nil, h, 1000)) },
		push:  func(p *protocol.Push) { write(protocol.AppendSSEPush(nil, p)) },
		beat:  func() { write([]byte(protocol.SSEHeartbeat)) },
		away:  func(g *protocol.GoAway) { write(protocol.AppendSSEGoAway(nil, g, 50)) },
		raw:   func(b string) { write([]byte(b)) },
	})
}

func (s *server) ack(w http.ResponseWriter, r *http.Request) {
	cursor := r.URL.Query().Get("cursor")
	if s.acked != nil {
		if e := s.acked(cursor); e != nil {
			refuse(w, e)
			return
		}
	}
	s.acks <- cursor
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) poll(w http.ResponseWriter, r *http.Request) {
	o := readOpening(r, Poll)
	n, refused := s.enter(o)
	if refused != nil {
		refuse(w, refused)
		return
	}
	if o.Cursor != "" {
		s.acks <- o.Cursor
	}
	a := protocol.PollAnswer{Resumed: o.Cursor != "", Stream: "p" + strconv.Itoa(n), Cursor: o.Cursor}
	if a.Cursor == "" {
		a.Cursor = "c0"
	}
	s.script(n, &scripted{
		opening: o, t: s.t, gone: either(r.Context().Done(), s.done),
		hello: func(h *protocol.Hello) { a.Resumed, a.Expired = h.Resumed, h.Expired },
		push:  func(p *protocol.Push) { a.Messages = append(a.Messages, *p); a.Cursor = p.Cursor },
		away:  func(g *protocol.GoAway) { a.GoAway = g },
		beat:  func() {},
	})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(protocol.AppendPollAnswer(nil, &a))
}

func (s *server) ws(w http.ResponseWriter, r *http.Request) {
	transport := WSJSON
	if r.Header.Get("Sec-WebSocket-Protocol") == "ramen.v1.proto" {
		transport = WSProto
	}
	o := readOpening(r, transport)
	n, refused := s.enter(o)
	if refused != nil && (refused.Code == "proxy" || refused.Code == protocol.CodeUnavailable) {
		refuse(w, refused)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{"ramen.v1.proto", "ramen.v1.json"}}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	if refused != nil { // SPEC 4: told by a close code
		reason := protocol.ReasonOf(refused.Code)
		_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(reason.CloseCode(), refused.Message))
		return
	}
	s.script(n, wsScripted(s, o, c))
}

func wsScripted(s *server, o opening, c *websocket.Conn) *scripted {
	gone := make(chan struct{})
	frames := make(chan protocol.DeviceFrame, 4096)
	kind := websocket.TextMessage
	if o.transport == WSProto {
		kind = websocket.BinaryMessage
	}
	go func() {
		defer close(gone)
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			var f protocol.DeviceFrame
			if f.Kind = protocol.FrameHeartbeat; len(b) > 0 {
				if kind == websocket.TextMessage {
					err = protocol.DecodeJSONDeviceFrame(b, &f)
				} else {
					err = protocol.DecodeProtoDeviceFrame(b, &f)
				}
			}
			if err != nil {
				s.t.Errorf("device frame %q: %v", b, err)
			}
			frames <- f
		}
	}()
	write := func(b []byte) { _ = c.WriteMessage(kind, b) }
	pick := func(j, p []byte) []byte {
		if kind == websocket.TextMessage {
			return j
		}
		return p
	}
	return &scripted{
		opening: o, t: s.t, gone: either(gone, s.done),
		hello: func(h *protocol.Hello) {
			write(pick(protocol.AppendJSONHello(nil, h), protocol.AppendProtoHello(nil, h)))
		},
		push: func(p *protocol.Push) { write(pick(protocol.AppendJSONPush(nil, p), protocol.AppendProtoPush(nil, p))) },
		away: func(g *protocol.GoAway) {
			write(pick(protocol.AppendJSONGoAway(nil, g), protocol.AppendProtoGoAway(nil, g)))
		},
		beat: func() { write(nil) },
		raw:  func(b string) { _, _ = c.NetConn().Write([]byte(b)) },
		recv: receive(frames, gone, s.done),
	}
}

func receive(frames <-chan protocol.DeviceFrame, gone, done <-chan struct{}) func() (protocol.DeviceFrame, bool) {
	return func() (protocol.DeviceFrame, bool) {
		select {
		case f := <-frames:
			return f, true
		case <-gone:
			select {
			case f := <-frames:
				return f, true
			default:
			}
		case <-done:
		}
		return protocol.DeviceFrame{}, false
	}
}

// either ends with the first of a and b. Its goroutine ends with them too, since a server's done is closed at last.
func either(a, b <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		select {
		case <-a:
		case <-b:
		}
	}()
	return c
}

type grpcDevices struct {
	ramenpb.UnimplementedDevicesServer
	s *server
}

func (d *grpcDevices) Stream(g grpc.BidiStreamingServer[ramenpb.DeviceFrame, ramenpb.ServerFrame]) error {
	s := d.s
	first, err := g.Recv()
	if err != nil || first.GetOpen() == nil {
		return fmt.Errorf("first frame is no open: %v", err)
	}
	f := deviceFrame(first)
	o := opening{OpenFrame: f.Open, transport: GRPC}
	if md, _ := metadata.FromIncomingContext(g.Context()); len(md["authorization"]) > 0 {
		o.Token = md["authorization"][0][len("Bearer "):]
	}
	n, refused := s.enter(o)
	write := func(b []byte) {
		var f ramenpb.ServerFrame
		if err := proto.Unmarshal(b, &f); err != nil {
			s.t.Error(err)
		}
		_ = g.Send(&f)
	}
	if refused != nil {
		reason := protocol.ReasonOf(refused.Code)
		write(protocol.AppendProtoGoAway(nil, &protocol.GoAway{Reason: reason, Detail: refused.Message}))
		return grpcError(reason, refused.Message)
	}
	frames := make(chan protocol.DeviceFrame, 4096)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := g.Recv()
			if err != nil {
				return
			}
			frames <- deviceFrame(m)
		}
	}()
	s.script(n, &scripted{
		opening: o, t: s.t, gone: either(ended, s.done),
		hello: func(h *protocol.Hello) { write(protocol.AppendProtoHello(nil, h)) },
		push:  func(p *protocol.Push) { write(protocol.AppendProtoPush(nil, p)) },
		away:  func(g *protocol.GoAway) { write(protocol.AppendProtoGoAway(nil, g)) },
		beat:  func() { write(protocol.AppendProtoHeartbeat(nil, 42)) },
		recv:  receive(frames, ended, s.done),
	})
	return grpcError(protocol.ReasonUnavailable, "script is over")
}

func deviceFrame(m *ramenpb.DeviceFrame) (f protocol.DeviceFrame) {
	b, err := proto.Marshal(m)
	if err == nil {
		err = protocol.DecodeProtoDeviceFrame(b, &f)
	}
	if err != nil {
		panic(err)
	}
	return f
}
