package conformance

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"

	"ramen/protocol"
	"ramen/protocol/grpcstatus"
)

type connKey struct{}

// withConn keeps the connection of a request, which HTTP/2 does not give away.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// newGRPC reads the first frame. The stream is written by hand, so that it can be cut anywhere.
func (r *run) newGRPC(w http.ResponseWriter, req *http.Request) (*peer, error) {
	conn, _ := req.Context().Value(connKey{}).(net.Conn)
	b, err := readGRPC(req.Body)
	if err != nil {
		return nil, fmt.Errorf("conformance: read the first frame: %w", err)
	}
	var f protocol.DeviceFrame
	if err := protocol.DecodeProtoDeviceFrame(b, &f); err != nil || f.Kind != protocol.FrameOpen {
		return nil, fmt.Errorf("conformance: the first frame is no open: %w", err)
	}
	p := &peer{run: r, open: openingOfFrame(&f.Open, req), conn: conn, gone: make(chan struct{}), wire: grpcWire{}}
	control := http.NewResponseController(w)
	begun := false
	begin := func() {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/grpc")
			w.WriteHeader(http.StatusOK)
		}
	}
	p.put = func(b []byte) error {
		begin()
		if _, err := w.Write(b); err != nil {
			return err
		}
		return control.Flush()
	}
	said := false
	status := func(code codes.Code, text string) {
		p.writing.Lock()
		if said {
			p.writing.Unlock()
			return
		}
		said = true
		begin()
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", strconv.Itoa(int(code)))
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", text)
		p.writing.Unlock()
		p.ended.Do(func() { close(p.gone) })
	}
	p.end = func() { status(codes.Unavailable, "") }
	p.bare = func(reason protocol.Reason, text string) {
		s := grpcstatus.StreamEnd(reason, text)
		status(s.Code(), s.Message())
	}
	go func() {
		for {
			b, err := readGRPC(req.Body)
			if err != nil {
				p.left(errors.Is(err, io.EOF))
				return
			}
			var f protocol.DeviceFrame
			if err := protocol.DecodeProtoDeviceFrame(b, &f); err != nil {
				r.failf("the device sent a frame that breaks the contract: %v", err)
				continue
			}
			p.frame(&f)
		}
	}()
	return p, nil
}

func readGRPC(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || n > 1<<20 {
		return nil, fmt.Errorf("conformance: a message of %d bytes, compressed: %d", n, head[0])
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
