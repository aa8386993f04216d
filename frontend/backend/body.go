package backend

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"ramen/protocol"
)

const (
	keptBuffer = 256 << 10 // bytes: a larger buffer is not kept for the next request
	firstRead  = 8 << 10   // bytes that a body's length is believed for; the rest is room made as it comes
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

// readBody reads the body of r, decompressed, into a buffer that is to be released. What has come is held as it comes, and on
// success stays so, as of a request that is whole, until give. Its content type is not looked at: what is no JSON is told so at its
// first byte, and curl's own default for -d names another.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) (*bytes.Buffer, *protocol.Error) {
	limit := int64(s.cfg.Publish.MaxBody)
	if r.ContentLength > limit {
		s.drain(r)
		return nil, s.bodyTooLarge()
	}
	b := s.buffer()
	b.Grow(int(min(max(r.ContentLength, 0), firstRead)) + bytes.MinRead)
	whole, err := s.readAtOnce(b, r)
	if err == nil && !whole {
		err = s.readSlowly(b, w, r)
	}
	if err != nil {
		s.release(b)
		return nil, err
	}
	return b, nil
}

// readAtOnce reads a body that is there as a whole, as nearly all are. whole: there is no more.
func (s *Server) readAtOnce(b *bytes.Buffer, r *http.Request) (whole bool, _ *protocol.Error) {
	if r.ContentLength < 0 || r.ContentLength > firstRead || r.Header.Get("Content-Encoding") != "" {
		return false, nil
	}
	var err error
	if r.ContentLength > 0 {
		room := b.AvailableBuffer()
		var n int
		n, err = r.Body.Read(room[:cap(room)])
		b.Write(room[:n])
	}
	switch {
	case int64(b.Len()) == r.ContentLength:
		return true, s.take(r.ContentLength)
	case err != nil:
		return false, s.readError(err)
	}
	return false, nil
}

// readSlowly reads what has not come at once; b may have the beginning.
func (s *Server) readSlowly(b *bytes.Buffer, w http.ResponseWriter, r *http.Request) *protocol.Error {
	in := &slowBody{body: http.MaxBytesReader(nil, r.Body, int64(s.cfg.Publish.MaxBody)), // nil: the connection goes on once the body is drained
		control: http.NewResponseController(w), ctx: r.Context(), began: clock()}
	in.holder = s.room.join(r.RemoteAddr, 0, in.cut)
	err := s.readError(in.hold(int64(b.Len())))
	if err == nil {
		err = s.decompress(b, in, r.Header.Get("Content-Encoding"))
	}
	late := in.done()
	if err != nil {
		in.holder.leave(0)
		if late {
			w.Header().Set("Connection", "close")
		} else {
			s.drain(r)
		}
		return err
	}
	in.holder.leave(in.held)
	return nil
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

func (s *Server) decompress(b *bytes.Buffer, in *slowBody, encoding string) *protocol.Error {
	limit := int64(s.cfg.Publish.MaxBody)
	switch strings.ToLower(encoding) {
	case "", "identity":
		return s.readError(in.into(b, in, limit+1))
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return s.readError(err)
		}
		if err := in.into(b, z, limit+1); err != nil {
			return s.readError(err)
		}
		if int64(b.Len()) > limit {
			return s.bodyTooLarge()
		}
		return nil
	}
	return protocol.Invalidf("the Content-Encoding is %q: use gzip, or omit it", clip(encoding))
}

func (s *Server) readError(err error) *protocol.Error {
	if err == nil {
		return nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return s.bodyTooLarge()
	}
	if errors.Is(err, errNoRoom) {
		return s.noRoom()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return protocol.Errorf(protocol.CodeUnavailable, "the body arrived too slowly: send at least %d KiB per second; nothing of it was accepted", bodyRate>>10)
	}
	return protocol.Invalidf("the body could not be read completely: %v", err)
}

func (s *Server) bodyTooLarge() *protocol.Error {
	return protocol.Errorf(protocol.CodeTooLarge, "the body has over %d bytes: send a smaller batch", s.cfg.Publish.MaxBody)
}
