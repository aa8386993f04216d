// Package h2test has what tests of gRPC ports need: a client that writes frames as no good client does, and a listener in memory,
// for tests with a clock of their own.
package h2test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Client is a connection whose frames the test writes one by one. It reads in a goroutine of its own, until the connection ends.
type Client struct {
	*http2.Framer // for writing
	conn          net.Conn
	w             bytes.Buffer // what is written goes out with Flush
	head          bytes.Buffer
	enc           *hpack.Encoder
	id            uint32 // of the last stream

	sending sync.Mutex

	mu       sync.Mutex // guards what follows
	cond     *sync.Cond
	settings map[http2.SettingID]uint32
	acks     int               // of pings
	statuses map[uint32]string // grpc-status, by stream
	data     map[uint32]int    // bytes of DATA, by stream
	resets   map[uint32]http2.ErrCode
	goAway   *http2.ErrCode
	over     bool
	done     chan struct{}
}

// NewClient begins a connection. window is how much of each stream the server may send.
func NewClient(c net.Conn, window uint32) *Client {
	h := &Client{conn: c, settings: map[http2.SettingID]uint32{}, statuses: map[uint32]string{}, data: map[uint32]int{}, resets: map[uint32]http2.ErrCode{}, done: make(chan struct{})}
	h.cond = sync.NewCond(&h.mu)
	h.Framer = http2.NewFramer(&h.w, c)
	h.Framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.enc = hpack.NewEncoder(&h.head)
	h.w.WriteString(http2.ClientPreface)
	h.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	go h.read()
	return h
}

// Flush sends what was written.
func (h *Client) Flush() error {
	err := h.send(h.w.Bytes())
	h.w.Reset()
	return err
}

func (h *Client) send(b []byte) error {
	h.sending.Lock()
	defer h.sending.Unlock()
	_, err := h.conn.Write(b)
	return err
}

// Close ends the connection, and waits for the reading to end.
func (h *Client) Close() {
	h.conn.Close()
	<-h.done
}

// Call writes the headers of a call, with more of them in pairs, and answers its stream.
func (h *Client) Call(method string, more ...string) uint32 {
	h.head.Reset()
	all := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", "ramen", "content-type", "application/grpc", "te", "trailers"}, more...)
	for i := 0; i < len(all); i += 2 {
		h.enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	if h.id == 0 {
		h.id = 1
	} else {
		h.id += 2
	}
	h.WriteHeaders(http2.HeadersFrameParam{StreamID: h.id, BlockFragment: h.head.Bytes(), EndHeaders: true})
	return h.id
}

// Message writes a gRPC message of a call in one frame; last: it is the last.
func (h *Client) Message(stream uint32, b []byte, last bool) {
	h.WriteData(stream, last, Frame(len(b), b))
}

// Frame is b behind gRPC's five bytes, which declare a length.
func Frame(length int, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(length)), b...)
}

func (h *Client) read() {
	defer close(h.done)
	for {
		f, err := h.ReadFrame()
		h.mu.Lock()
		if err != nil {
			if _, one := errors.AsType[http2.StreamError](err); !one {
				h.over = true
				h.cond.Broadcast()
				h.mu.Unlock()
				return
			}
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			f.ForeachSetting(func(s http2.Setting) error { h.settings[s.ID] = s.Val; return nil })
		case *http2.PingFrame:
			if f.IsAck() {
				h.acks++
				break
			}
			var ack bytes.Buffer
			http2.NewFramer(&ack, nil).WritePing(true, f.Data)
			h.mu.Unlock()
			h.send(ack.Bytes())
			h.mu.Lock()
		case *http2.MetaHeadersFrame:
			for _, x := range f.Fields {
				if x.Name == "grpc-status" {
					h.statuses[f.StreamID] = x.Value
				}
			}
		case *http2.DataFrame:
			h.data[f.StreamID] += len(f.Data())
		case *http2.RSTStreamFrame:
			h.resets[f.StreamID] = f.ErrCode
		case *http2.GoAwayFrame:
			code := f.ErrCode
			h.goAway = &code
		}
		h.cond.Broadcast()
		h.mu.Unlock()
	}
}

// wait waits until ok holds; false where the connection has ended, and it never will. A test's deadline bounds it: the connection's.
func (h *Client) wait(ok func() bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !ok() {
		if h.over {
			return false
		}
		h.cond.Wait()
	}
	return true
}

// Calm waits for the end of the connection, and reports whether GOAWAY with ENHANCE_YOUR_CALM came before.
func (h *Client) Calm() bool {
	return h.wait(func() bool { return h.goAway != nil && *h.goAway == http2.ErrCodeEnhanceYourCalm })
}

// Over reports whether the connection has ended.
func (h *Client) Over() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// Ended waits for the end of the connection.
func (h *Client) Ended() { <-h.done }

// Acks waits for so many answers to pings.
func (h *Client) Acks(n int) bool { return h.wait(func() bool { return h.acks >= n }) }

// Setting waits until the server has said so.
func (h *Client) Setting(id http2.SettingID, want uint32) bool {
	return h.wait(func() bool { return h.settings[id] == want })
}

// Status waits for the end of a call, and answers its grpc-status; "" where the connection ends before.
func (h *Client) Status(stream uint32) (status string) {
	h.wait(func() bool { _, is := h.statuses[stream]; status = h.statuses[stream]; return is })
	return status
}

// Statuses is how many calls have ended with a status.
func (h *Client) Statuses(status string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.statuses {
		if s == status {
			n++
		}
	}
	return n
}

// Resets waits until so many calls were reset with code.
func (h *Client) Resets(many int, code http2.ErrCode) bool {
	return h.wait(func() bool {
		n := 0
		for _, c := range h.resets {
			if c == code {
				n++
			}
		}
		return n >= many
	})
}

// Data waits for a message, or a part of one, of a call.
func (h *Client) Data(stream uint32) bool {
	return h.wait(func() bool { return h.data[stream] > 0 })
}

// Listener is in memory: each Dial is a pipe.
type Listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewListener is a Listener.
func NewListener() *Listener { return &Listener{conns: make(chan net.Conn), done: make(chan struct{})} }

// Dial connects.
func (l *Listener) Dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, io.ErrClosedPipe
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }
