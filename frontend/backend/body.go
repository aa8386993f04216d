package backend

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"ramen/protocol"
)

const (
	keptBuffer = 256 << 10 // bytes: a larger buffer is not kept for the next request
	firstRead  = 32 << 10  // bytes that a body's length is believed for; the rest is room made as it comes
	drained    = 8         // bodies' worth of a refused body that are read and dropped
)

func (s *Server) buffer() *bytes.Buffer {
	if b, ok := s.buffers.Get().(*bytes.Buffer); ok {
		return b
	}
	return new(bytes.Buffer)
}

func (s *Server) release(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		b.Reset()
		s.buffers.Put(b)
	}
}

// hold takes the memory that r may need at most, until give.
func (s *Server) hold(r *http.Request) (int64, *protocol.Error) {
	most := int64(s.cfg.Publish.MaxBody)
	if n := r.ContentLength; n >= 0 && n < most && r.Header.Get("Content-Encoding") == "" {
		most = n
	}
	return most, s.take(most)
}

// readBody reads the body of r, decompressed, into a buffer that is to be released. Its content type is not looked at:
// what is no JSON is told so at its first byte, and curl's own default for -d names another.
func (s *Server) readBody(r *http.Request) (*bytes.Buffer, *protocol.Error) {
	limit := int64(s.cfg.Publish.MaxBody)
	if r.ContentLength > limit {
		s.drain(r)
		return nil, s.bodyTooLarge()
	}
	in := http.MaxBytesReader(nil, r.Body, limit) // nil: the connection goes on once the body is drained
	b := s.buffer()
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	err := s.decompress(b, in, r.Header.Get("Content-Encoding"))
	if err != nil {
		s.release(b)
		s.drain(r)
		return nil, err
	}
	return b, nil
}

// drain reads on in a body that was refused, for a while: a client that writes its whole request before it reads, as most
// do, meets a connection that is reset where the server closes first, and never reads why. One that waits for
// 100-continue (RFC 9110 10.1.1) has not written yet, and a far longer body is not worth it. The time is bounded by the
// port's ReadTimeout.
func (s *Server) drain(r *http.Request) {
	most := drained * int64(s.cfg.Publish.MaxBody)
	if r.Header.Get("Expect") == "" && r.ContentLength <= most {
		io.CopyN(io.Discard, r.Body, most)
	}
}

func (s *Server) decompress(b *bytes.Buffer, in io.Reader, encoding string) *protocol.Error {
	switch strings.ToLower(encoding) {
	case "", "identity":
		_, err := b.ReadFrom(in)
		return s.readError(err)
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return s.readError(err)
		}
		limit := int64(s.cfg.Publish.MaxBody)
		if _, err := b.ReadFrom(io.LimitReader(z, limit+1)); err != nil {
			return s.readError(err)
		}
		if int64(b.Len()) > limit {
			return s.bodyTooLarge()
		}
		return nil
	}
	return protocol.Invalidf("the Content-Encoding is %q: it must be gzip, or none", clip(encoding))
}

func (s *Server) readError(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return s.bodyTooLarge()
	}
	return protocol.Invalidf("the body could not be read to its end: %v", err)
}

func (s *Server) bodyTooLarge() *protocol.Error {
	return protocol.Errorf(protocol.CodeTooLarge, "the body has over %d bytes: split the batch", s.cfg.Publish.MaxBody)
}
