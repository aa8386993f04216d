package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is one HTTP/2 connection, frame by frame (RFC 9113). Unless it is deaf, it reads what comes and answers SETTINGS and PING.
type h2 struct {
	c      net.Conn
	stingy bool // it gives no credit back; set before the first call

	mu     sync.Mutex // of all writing
	w      *bufio.Writer
	framer *http2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder
	next   uint32 // the next stream
}

// dialH2 opens a connection and sends the preface. secure: by TLS. deaf: nothing is read of it.
func dialH2(ctx context.Context, t *target, addr string, secure *tls.Config, deaf bool) (*h2, error) {
	c, err := t.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if secure != nil {
		s := tls.Client(c, secure)
		if err := s.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		c = s
	}
	h := &h2{c: c, w: bufio.NewWriterSize(c, 32<<10), next: 1}
	h.framer = http2.NewFramer(h.w, bufio.NewReader(c))
	h.framer.SetReuseFrames()
	h.hpack = hpack.NewEncoder(&h.block)
	_, err = h.w.WriteString(http2.ClientPreface)
	if err == nil {
		err = h.framer.WriteSettings()
	}
	if err == nil {
		err = h.w.Flush()
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	if !deaf {
		go h.listen() // it ends with the connection
	}
	return h, nil
}

func (h *h2) close() { _ = h.c.Close() }

// listen answers what must be answered, until the connection ends.
func (h *h2) listen() {
	defer h.close()
	for {
		f, err := h.framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = h.write(func() error { return h.framer.WriteSettingsAck() })
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = h.write(func() error { return h.framer.WritePing(true, f.Data) })
			}
		case *http2.DataFrame:
			if n := len(f.Data()); n > 0 && !h.stingy {
				err = h.write(func() error { return h.framer.WriteWindowUpdate(0, uint32(n)) })
			}
		}
		if err != nil {
			return
		}
	}
}

// write writes frames and sends them.
func (h *h2) write(frames func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := frames(); err != nil {
		return err
	}
	return h.w.Flush()
}

// openLocked writes the head of a gRPC call, and returns its stream.
func (h *h2) openLocked(method, bearer string, more ...string) (uint32, error) {
	id := h.next
	h.next += 2
	h.block.Reset()
	fields := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "ramen", "content-type", "application/grpc", "te", "trailers"}, more...)
	if bearer != "" {
		fields = append(fields, "authorization", "Bearer "+bearer)
	}
	for i := 0; i < len(fields); i += 2 {
		_ = h.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return id, h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.block.Bytes(), EndHeaders: true})
}

// The methods of gRPC that are attacked.
const (
	methodStream        = "/ramen.v1.Devices/Stream"
	methodPublish       = "/ramen.v1.Backend/Publish"
	methodPublishStream = "/ramen.v1.Backend/PublishStream"
	methodListMessages  = "/ramen.v1.Backend/ListMessages"
)
