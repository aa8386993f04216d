package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ramen/protocol"
)

// Transport is a way to hold a stream.
type Transport string

// The transports. WS is WSProto by its short name.
const (
	WS      Transport = "ws"
	WSProto Transport = "ws-proto"
	WSJSON  Transport = "ws-json"
	GRPC    Transport = "grpc"
	SSE     Transport = "sse"
	Poll    Transport = "poll"
)

// Valid reports whether t is one of the transports above.
func (t Transport) Valid() bool {
	switch t {
	case WS, WSProto, WSJSON, GRPC, SSE, Poll:
		return true
	}
	return false
}

// Kind is t as the server names it.
func (t Transport) Kind() protocol.Transport {
	switch t {
	case WS, WSProto, WSJSON:
		return protocol.TransportWS
	case GRPC:
		return protocol.TransportGRPC
	case SSE:
		return protocol.TransportSSE
	case Poll:
		return protocol.TransportPoll
	}
	return protocol.TransportNone
}

// MaxFrame is the longest frame taken from a server, in bytes: a payload of 1 MiB (SPEC 1.1.4) in base64, its headers, and room.
const MaxFrame = 4 << 20

// maxErrorBody is how much of an error's body is read, in bytes.
const maxErrorBody = 4 << 10

// defaultWait is long-poll's wait. SPEC 5.6.1.
const defaultWait = 25 * time.Second

// Dialer opens streams at one place.
type Dialer struct {
	URL    string        // http:// or https:// and host[:port] of the devices' HTTP port, with a path where a proxy adds one
	GRPC   string        // host:port of the devices' gRPC port, https://host:port for TLS; see ParseGRPCTarget
	TLS    *tls.Config   // for https; gRPC speaks TLS where it is set. nil: https by the system's roots, gRPC in cleartext
	Wait   time.Duration // long-poll's wait, whole seconds, 1 s to 60 s; 0: 25 s
	Header http.Header   // sent with every HTTP request beside the dialer's own; may be nil

	// Net connects, instead of the system's own network and proxy. nil: these.
	Net func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Conn is one stream of a device.
type Conn interface {
	// Next waits for a frame and writes it to f; what f points to is the caller's. Kinds that carry nothing are passed
	// on too. The error is always an *EndError: the stream is over.
	Next(f *protocol.ServerFrame) error
	// Ack says that every push up to this one has been processed. Over SSE it is a request of its own and waits for the
	// answer; over poll it is what the next poll begins with. The error may be an *EndError.
	Ack(ctx context.Context, seq protocol.Seq, cursor string) error
	// Echo answers a heartbeat. Over one-way transports it does nothing.
	Echo(timeMS int64) error
	// Refresh hands over a new token and context (nil: unchanged). Over SSE it is used for acks alone, and the answer
	// is ErrOneWay: only a new stream takes it to the server.
	Refresh(token string, c *protocol.DeviceContext) error
	// Close ends the stream at once and frees what it holds.
	Close() error
}

// Finisher is a Conn whose Close may overtake what was written before. After Finish nothing more is written, and the
// server ends the stream once it has read it all.
type Finisher interface {
	Finish() error
}

// ErrOneWay is Refresh's answer where the device has no way back to the server.
var ErrOneWay = errors.New("wire: refresh: the transport is one-way")

// Dial opens a stream over t as o says. ctx bounds the opening alone. alive is called whenever bytes of the stream came
// in, complete frames or not (over gRPC: frames only); it must be quick, and may be nil. Errors are *EndError, but for
// a dialer that cannot dial: a missing or malformed address.
func (d *Dialer) Dial(ctx context.Context, t Transport, o *protocol.OpenFrame, alive func()) (Conn, error) {
	if alive == nil {
		alive = func() {}
	}
	switch t {
	case WS, WSProto:
		return d.dialWS(ctx, o, alive, subprotocolProto)
	case WSJSON:
		return d.dialWS(ctx, o, alive, subprotocolJSON)
	case GRPC:
		return d.dialGRPC(ctx, o, alive)
	case SSE:
		return d.dialSSE(ctx, o, alive)
	case Poll:
		return d.dialPoll(o, alive)
	}
	return nil, fmt.Errorf("wire: dial %q: unknown transport; use ws, ws-proto, ws-json, grpc, sse or poll", t)
}

// Check reports what is wrong with d for opening streams over t.
func (d *Dialer) Check(t Transport) error {
	if !t.Valid() {
		return fmt.Errorf("wire: transport %q is unknown; use ws, ws-proto, ws-json, grpc, sse or poll", t)
	}
	if t == GRPC {
		if d.GRPC == "" {
			return errors.New("wire: transport grpc needs the host:port of the gRPC port")
		}
		_, err := ParseGRPCTarget(d.GRPC, d.TLS)
		return err
	}
	if d.URL == "" {
		return fmt.Errorf("wire: transport %s needs a URL such as https://push.example.com", t)
	}
	_, err := d.endpoint("")
	return err
}

// connect is how TCP connections are made.
func (d *Dialer) connect() func(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.Net != nil {
		return d.Net
	}
	return (&net.Dialer{Timeout: connectTimeout}).DialContext
}

// connectTimeout is for a TCP connection alone, where the opening is not bounded more closely.
const connectTimeout = 10 * time.Second

// proxy is how the way through a proxy is found; nil: none is asked.
func (d *Dialer) proxy() func(*http.Request) (*url.URL, error) {
	if d.Net != nil {
		return nil
	}
	return http.ProxyFromEnvironment
}

// endpoint is the URL of path below the dialer's.
func (d *Dialer) endpoint(path string) (*url.URL, error) {
	u, err := CheckURL(d.URL)
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery, u.Fragment = "", ""
	return u, nil
}

func (d *Dialer) wait() time.Duration {
	if d.Wait <= 0 {
		return defaultWait
	}
	return min(max(d.Wait, time.Second), 60*time.Second)
}
