package wire

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"ramen/protocol"
)

// The subprotocols of SPEC 6.1.
const (
	subprotocolJSON  = "ramen.v1.json"
	subprotocolProto = "ramen.v1.proto"
)

// writeTimeout is how long a write may wait for a socket that takes nothing: rule 8's timeout at the default interval.
const writeTimeout = 7 * time.Second

// wsBuffer is a WebSocket's read and write buffer, in bytes: most pushes fit.
const wsBuffer = 2 << 10

type wsConn struct {
	conn  *websocket.Conn
	proto bool

	mu  sync.Mutex // one writer at a time
	out []byte     // guarded by mu
}

func (d *Dialer) dialWS(ctx context.Context, o *protocol.OpenFrame, alive func(), subprotocol string) (Conn, error) {
	opening := ctx
	u, err := d.endpoint("/ramen/ws")
	if err != nil {
		return nil, err
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.RawQuery = Query(o).Encode()
	connect := d.connect()
	release := func() bool { return true } // the handshake's reads know no context: its end closes the socket
	dialer := websocket.Dialer{
		Proxy:           d.proxy(),
		Subprotocols:    []string{subprotocol},
		ReadBufferSize:  wsBuffer,
		WriteBufferSize: wsBuffer,
		TLSClientConfig: tlsHTTP1(d.TLS),
		// Below TLS, so that the bytes of an incomplete record count as a sign of life. SPEC 2.8.4
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			release = context.AfterFunc(opening, func() { _ = c.Close() })
			return &aliveConn{Conn: c, alive: alive}, nil
		},
	}
	conn, resp, err := dialer.DialContext(ctx, u.String(), d.header(o.Token))
	if !release() && err == nil {
		_ = conn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if resp != nil {
			return nil, ReadError(resp)
		}
		return nil, cut(err)
	}
	conn.SetReadLimit(MaxFrame)
	// A server without the proto subprotocol falls back to JSON. SPEC 6.1.3
	return &wsConn{conn: conn, proto: conn.Subprotocol() == subprotocolProto}, nil
}

// tlsHTTP1 is c without HTTP/2: a WebSocket's handshake here is HTTP/1.1's.
func tlsHTTP1(c *tls.Config) *tls.Config {
	if c == nil {
		return nil
	}
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

func (c *wsConn) Next(f *protocol.ServerFrame) error {
	kind, b, err := c.conn.ReadMessage()
	if err != nil {
		return endOfWS(err)
	}
	*f = protocol.ServerFrame{}
	if len(b) == 0 { // SPEC 6.2.6: an empty frame is a heartbeat
		f.Kind = protocol.ServerHeartbeat
		return nil
	}
	if kind == websocket.BinaryMessage {
		err = protocol.DecodeProtoServerFrame(b, f)
	} else {
		err = protocol.DecodeJSONServerFrame(b, f)
	}
	if err != nil {
		return cut(err)
	}
	return nil
}

func (c *wsConn) Ack(_ context.Context, seq protocol.Seq, cursor string) error {
	f := protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: seq}
	if seq == 0 {
		f.Cursor = cursor
	}
	return c.write(&f)
}

func (c *wsConn) Refresh(token string, dc *protocol.DeviceContext) error {
	return c.write(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: token, Context: dc})
}

func (c *wsConn) Echo(int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(nil)
}

func (c *wsConn) write(f *protocol.DeviceFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.proto {
		c.out = protocol.AppendProtoDeviceFrame(c.out[:0], f)
	} else {
		c.out = protocol.AppendJSONDeviceFrame(c.out[:0], f)
	}
	return c.sendLocked(c.out)
}

func (c *wsConn) sendLocked(b []byte) error {
	kind := websocket.TextMessage
	if c.proto {
		kind = websocket.BinaryMessage
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return cut(err)
	}
	if err := c.conn.WriteMessage(kind, b); err != nil {
		return cut(err)
	}
	return nil
}

// Close says goodbye without waiting for the answer.
func (c *wsConn) Close() error {
	msg := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.conn.WriteControl(websocket.CloseMessage, msg, time.Now().Add(time.Second))
	return c.conn.Close()
}

// aliveConn tells of every byte that comes in.
type aliveConn struct {
	net.Conn
	alive func()
}

func (c *aliveConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.alive()
	}
	return n, err
}
