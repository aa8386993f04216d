package publisher

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// bare is the connection to the baseline server's publish port: each PublishRequest and PublishResponse behind its length, four bytes,
// the most significant first.
type bare struct {
	conn net.Conn
	out  []byte // the request under way
}

// newBare publishes to the baseline server.
func newBare(cfg *Config) *stream {
	open := func(ctx context.Context) (pipe, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", cfg.Bare)
		if err != nil {
			return nil, fmt.Errorf("publisher: publish to the baseline server: %w", err)
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		return &bare{conn: conn}, nil
	}
	return &stream{cfg: cfg, open: open, end: func() {}, slots: make(chan struct{}, underWay)}
}

func (b *bare) SendMsg(m any) error {
	request := m.([]byte)
	b.out = binary.BigEndian.AppendUint32(b.out[:0], uint32(len(request)))
	b.out = append(b.out, request...)
	_, err := b.conn.Write(b.out)
	return err
}

func (b *bare) RecvMsg(m any) error {
	var size [4]byte
	if _, err := io.ReadFull(b.conn, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxRequest {
		return fmt.Errorf("publisher: publish to the baseline server: an answer of %d bytes", n)
	}
	in := make([]byte, n)
	_, err := io.ReadFull(b.conn, in)
	*m.(*[]byte) = in
	return err
}
