package frontend

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/grpcstatus"
	"ramen/protocol/ramenpb"
)

// device is a client's end of a stream, the same over all transports.
type device interface {
	// next is the next frame; heartbeats come as such. An error is the end: io.EOF where the transport says no more.
	next() (protocol.ServerFrame, error)
	// say sends a frame; a device on SSE acks beside the stream.
	say(f *protocol.DeviceFrame)
	close()
}

// dialers are the transports that tests of streams run over.
var dialers = []struct {
	name   string
	twoWay bool
	dial   func(b *bench, v url.Values) device
}{
	{"sse", false, dialSSE},
	{"sse-tls", false, dialTLS},
	{"sse-h2", false, dialH2},
	{"ws-json", true, dialJSON},
	{"ws-proto", true, dialProto},
	{"grpc", true, dialGRPC},
}

func over(t *testing.T, twoWayOnly bool, test func(t *testing.T, dial func(b *bench, v url.Values) device)) {
	for _, d := range dialers {
		if twoWayOnly && !d.twoWay {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, d.dial)
		})
	}
}

// events reads a stream of events.
type events struct {
	tb     testing.TB
	b      *bench
	v      url.Values
	body   io.Reader
	end    func()
	dec    protocol.SSEDecoder
	frames []protocol.ServerFrame
	buf    [4096]byte
	stream string
	raw    []byte
	retry  int
}

func (e *events) next() (protocol.ServerFrame, error) {
	for len(e.frames) == 0 {
		n, err := e.body.Read(e.buf[:])
		between := bytes.HasSuffix(e.raw, []byte("\n\n")) // events: a line end by itself is a heartbeat here, else an event's last
		e.raw = append(e.raw, e.buf[:n]...)
		if n == 1 && e.buf[0] == '\n' && between {
			return protocol.ServerFrame{Kind: protocol.ServerHeartbeat}, nil
		}
		ferr := e.dec.Feed(e.buf[:n], func(ev protocol.SSEEvent) error {
			var f protocol.ServerFrame
			e.retry = ev.RetryMS
			err := protocol.DecodeSSEEvent(ev, &f)
			e.frames = append(e.frames, f)
			return err
		})
		if ferr != nil {
			return protocol.ServerFrame{}, ferr
		}
		if err != nil && len(e.frames) == 0 {
			return protocol.ServerFrame{}, err
		}
	}
	f := e.frames[0]
	e.frames = e.frames[1:]
	if f.Kind == protocol.ServerHello {
		e.stream = f.Hello.Stream
	}
	return f, nil
}

func (e *events) say(f *protocol.DeviceFrame) {
	if f.Kind != protocol.FrameAck {
		return
	}
	v := url.Values{"user": e.v["user"], "device": e.v["device"], "token": e.v["token"]}
	if f.Cursor != "" {
		v.Set("cursor", f.Cursor)
	} else {
		v.Set("seq", fmt.Sprint(f.Seq))
		v.Set("stream", e.stream)
	}
	r, err := e.b.client().Post(e.b.url("/ramen/ack", v), "", nil)
	if err != nil {
		e.tb.Error(err)
		return
	}
	r.Body.Close()
	if r.StatusCode != http.StatusNoContent {
		e.tb.Errorf("ack: status %d", r.StatusCode)
	}
}

func (e *events) close() { e.end() }

// dialRaw sends a request's bytes and reads the head of the answer.
func dialRaw(tb testing.TB, c net.Conn, head string) (*http.Response, *bufio.Reader) {
	tb.Helper()
	if _, err := io.WriteString(c, head); err != nil {
		tb.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		tb.Fatalf("read answer: %v", err)
	}
	return resp, r
}

func dialTCP(tb testing.TB, b *bench) *net.TCPConn {
	tb.Helper()
	c, err := net.Dial("tcp", b.plain)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if b.readBuffer > 0 {
		c.(*net.TCPConn).SetReadBuffer(b.readBuffer)
	}
	return c.(*net.TCPConn)
}

func dialSSE(b *bench, v url.Values) device {
	b.tb.Helper()
	return eventsOver(b, v, dialTCP(b.tb, b))
}

func dialTLS(b *bench, v url.Values) device {
	b.tb.Helper()
	cfg := b.roots.Clone()
	c, err := tls.Dial("tcp", b.secure, cfg)
	if err != nil {
		b.tb.Fatal(err)
	}
	return eventsOver(b, v, c)
}

func eventsOver(b *bench, v url.Values, c net.Conn) device {
	b.tb.Helper()
	b.tb.Cleanup(func() { c.Close() })
	resp, _ := dialRaw(b.tb, c, "GET /ramen/receive?"+v.Encode()+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		b.tb.Fatalf("answer is %d %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &events{tb: b.tb, b: b, v: v, body: resp.Body, end: func() { c.Close() }}
}

func dialH2(b *bench, v url.Values) device {
	b.tb.Helper()
	p := new(http.Protocols)
	p.SetHTTP2(true)
	t := &http.Transport{TLSClientConfig: b.roots.Clone(), Protocols: p}
	ctx, cancel := context.WithCancel(context.Background())
	b.tb.Cleanup(func() { cancel(); t.CloseIdleConnections() })
	r, _ := http.NewRequestWithContext(ctx, "GET", "https://"+b.secure+"/ramen/receive?"+v.Encode(), nil)
	resp, err := t.RoundTrip(r)
	if err != nil {
		b.tb.Fatal(err)
	}
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		b.tb.Fatalf("answer is %s %s", resp.Proto, resp.Status)
	}
	return &events{tb: b.tb, b: b, v: v, body: resp.Body, end: func() { cancel() }}
}

// rpc is a stream over gRPC.
type rpc struct {
	tb     testing.TB
	stream ramenpb.Devices_StreamClient
	conn   *grpc.ClientConn
	raw    rawIn
}

func (g *rpc) next() (protocol.ServerFrame, error) {
	var f protocol.ServerFrame
	if err := g.stream.RecvMsg(&g.raw); err != nil {
		return f, err
	}
	err := protocol.DecodeProtoServerFrame(g.raw.b, &f)
	return f, err
}

func (g *rpc) say(f *protocol.DeviceFrame) {
	if err := g.stream.SendMsg(rawFrame(protocol.AppendProtoDeviceFrame(nil, f))); err != nil && err != io.EOF {
		g.tb.Error(err)
	}
}

func (g *rpc) close() { g.conn.Close() }

func dialGRPC(b *bench, v url.Values) device {
	b.tb.Helper()
	g := newRPC(b)
	g.say(&protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: openFrame(b.tb, v)})
	return g
}

func newRPC(b *bench) *rpc {
	b.tb.Helper()
	c, err := grpc.NewClient(b.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newRawCodec())))
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(func() { c.Close() })
	s, err := ramenpb.NewDevicesClient(c).Stream(context.Background())
	if err != nil {
		b.tb.Fatal(err)
	}
	return &rpc{tb: b.tb, stream: s, conn: c}
}

// openFrame is the gRPC form of a query.
func openFrame(tb testing.TB, v url.Values) protocol.OpenFrame {
	number := func(name string) uint64 {
		if !v.Has(name) {
			return 0
		}
		n, err := strconv.ParseUint(v.Get(name), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		return n
	}
	o := protocol.OpenFrame{
		User: protocol.UserID(v.Get("user")), Device: protocol.DeviceID(v.Get("device")), Token: v.Get("token"), Cursor: v.Get("cursor"),
		HasSeq: v.Has("seq"), Seq: protocol.Seq(number("seq")), Stream: v.Get("stream"),
		Window: uint32(number("window")), HeartbeatMS: uint32(number("heartbeat_ms")),
	}
	c := protocol.DeviceContext{App: v.Get("app"), OS: v.Get("os"), AppVersion: v.Get("app_version"), OSVersion: v.Get("os_version"), Model: v.Get("model"), Locale: v.Get("locale")}
	for name := range v {
		if label, ok := strings.CutPrefix(name, "label."); ok {
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[label] = v.Get(name)
		}
	}
	if !reflect.DeepEqual(c, protocol.DeviceContext{}) {
		o.Context = &c
	}
	return o
}

// want reads frames, heartbeats left out, until one of kind comes.
func want(tb testing.TB, d device, kind protocol.ServerFrameKind) protocol.ServerFrame {
	tb.Helper()
	for {
		f, err := within(tb, d)
		if err != nil {
			tb.Fatalf("the stream ended instead of frame %d: %v", kind, err)
		}
		if f.Kind == kind {
			return f
		}
		if f.Kind != protocol.ServerHeartbeat {
			tb.Fatalf("frame %+v came instead of %d", f, kind)
		}
	}
}

// within is next with a bound.
func within(tb testing.TB, d device) (protocol.ServerFrame, error) {
	tb.Helper()
	timer := time.AfterFunc(10*time.Second, d.close)
	defer timer.Stop()
	return d.next()
}

// wantPushes reads n pushes and checks that they go on after seq.
func wantPushes(tb testing.TB, d device, seq protocol.Seq, n int) (last protocol.Push) {
	tb.Helper()
	for i := range n {
		last = want(tb, d, protocol.ServerPush).Push
		if last.Seq != seq+protocol.Seq(i)+1 {
			tb.Fatalf("push %d came, not %d", last.Seq, seq+protocol.Seq(i)+1)
		}
	}
	return last
}

// wantEnd reads the goaway with reason, then the end.
func wantEnd(tb testing.TB, d device, reason protocol.Reason) protocol.GoAway {
	tb.Helper()
	f := want(tb, d, protocol.ServerGoAway)
	if f.GoAway.Reason != reason {
		tb.Fatalf("goaway says %v: %s, not %v", f.GoAway.Reason, f.GoAway.Detail, reason)
	}
	wantOver(tb, d, reason)
	return f.GoAway
}

// wantOver reads the end.
func wantOver(tb testing.TB, d device, reason protocol.Reason) {
	tb.Helper()
	for {
		f, err := within(tb, d)
		if err == nil && f.Kind == protocol.ServerHeartbeat {
			continue
		}
		if err == nil {
			tb.Fatalf("frame %+v came instead of the end", f)
		}
		if _, is := d.(*rpc); is && status.Code(err) != grpcstatus.ReasonCode(reason) {
			tb.Fatalf("status is %v, not %v", err, grpcstatus.ReasonCode(reason))
		}
		if e, is := err.(*closeError); is && e.code != reason.CloseCode() {
			tb.Fatalf("close code is %d (%s), not %d", e.code, e.text, reason.CloseCode())
		}
		return
	}
}

// closeError is the end of a WebSocket.
type closeError struct {
	code int
	text string
}

func (e *closeError) Error() string { return fmt.Sprintf("closed with %d: %s", e.code, e.text) }

func ackSeq(seq protocol.Seq) *protocol.DeviceFrame {
	return &protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: seq}
}

func ackCursor(c string) *protocol.DeviceFrame {
	return &protocol.DeviceFrame{Kind: protocol.FrameAck, Cursor: c}
}
