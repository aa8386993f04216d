package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/gorilla/websocket"

	"ramen/protocol"
)

const corsHeaders = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: authorization, content-type, last-event-id\r\n"

// hijack takes the connection over, after whose answer it is closed.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.Reader, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("conformance: take over a connection: %w", err)
	}
	return conn, rw.Reader, nil
}

// awaitEnd reads until the device closes its side.
func awaitEnd(r io.Reader, then func()) {
	_, _ = io.Copy(io.Discard, r)
	then()
}

// newSSE answers with the head of an event stream.
func (r *run) newSSE(w http.ResponseWriter, req *http.Request) (*peer, error) {
	events := req.URL.Query().Get("heartbeat") == "event"
	o := openingOf("sse", req)
	if events {
		o.kind = "eventsource"
	}
	conn, in, err := hijack(w)
	if err != nil {
		return nil, err
	}
	p := &peer{run: r, open: o, conn: conn, gone: make(chan struct{}), wire: sseWire{events}}
	begun := false
	p.put = func(b []byte) error {
		if !begun {
			begun = true
			head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n" + corsHeaders + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
			if _, err := io.WriteString(conn, head); err != nil {
				return err
			}
		}
		if len(b) == 0 {
			return nil
		}
		_, err := conn.Write(chunk(b))
		return err
	}
	p.end = func() {
		_, _ = io.WriteString(conn, "0\r\n\r\n")
		_ = conn.Close()
	}
	go awaitEnd(in, func() { p.left(true) })
	return p, nil
}

// newWS makes the handshake, once the script wants it: an unupgraded connection can still be refused.
func (r *run) newWS(w http.ResponseWriter, req *http.Request) (*peer, error) {
	o := openingOf("ws-json", req)
	asked := websocket.Subprotocols(req)
	if len(asked) > 0 && asked[0] == "ramen.v1.proto" {
		o.kind = "ws-proto"
	}
	p := &peer{run: r, open: o, gone: make(chan struct{}), wire: jsonWire{}}
	if o.kind == "ws-proto" {
		p.wire = protoWire{}
	}
	up := websocket.Upgrader{Subprotocols: []string{"ramen.v1.json", "ramen.v1.proto"}, CheckOrigin: func(*http.Request) bool { return true }}
	c, err := up.Upgrade(w, req, nil)
	if err != nil {
		return nil, fmt.Errorf("conformance: handshake of a WebSocket: %w", err)
	}
	p.conn = c.NetConn()
	p.put = func(b []byte) error { _, err := p.conn.Write(b); return err }
	p.end = func() { _ = p.conn.Close() }
	p.bare = func(reason protocol.Reason, text string) {
		_ = p.write(closeFrame(reason.CloseCode(), text))
	}
	c.SetCloseHandler(func(int, string) error { return nil }) // the script answers
	go r.readWS(p, c)
	return p, nil
}

func (r *run) readWS(p *peer, c *websocket.Conn) {
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			var ce *websocket.CloseError
			said := errors.As(err, &ce)
			if said && ce.Code != websocket.CloseAbnormalClosure {
				_ = p.write(closeFrame(websocket.CloseNormalClosure, ""))
			}
			_ = p.conn.Close()
			p.left(said && (ce.Code == websocket.CloseNormalClosure || ce.Code == websocket.CloseNoStatusReceived || ce.Code == websocket.CloseGoingAway))
			return
		}
		var f protocol.DeviceFrame
		switch {
		case len(b) == 0:
			f.Kind = protocol.FrameHeartbeat
		case kind == websocket.TextMessage:
			err = protocol.DecodeJSONDeviceFrame(b, &f)
		default:
			err = protocol.DecodeProtoDeviceFrame(b, &f)
		}
		if err != nil {
			r.failf("the device sent a frame that breaks the contract: %q: %v", b, err)
			continue
		}
		p.frame(&f)
	}
}

// answer refuses a request over HTTP/1.1 with a whole answer.
func answer(conn net.Conn, status int, contentType, extra, body string) {
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s%sContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), contentType, corsHeaders, extra, len(body), body)
	_ = conn.Close()
}
