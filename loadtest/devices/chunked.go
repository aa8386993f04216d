package devices

import (
	"bytes"
	"strconv"
)

// chunks decodes a body in chunked coding (RFC 9112 7.1). Between chunks it keeps nothing.
type chunks struct {
	left int    // bytes left of the current chunk, its line end included
	head []byte // the first part of a size line that is not complete
}

// decode moves the body's bytes to the begin of b.
func (c *chunks) decode(b []byte) ([]byte, error) {
	body := b[:0]
	for len(b) > 0 {
		if c.left > 0 {
			n := min(c.left, len(b))
			data := min(n, max(0, c.left-2)) // the last two are the line end
			body = append(body, b[:data]...)
			c.left -= n
			b = b[n:]
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			c.head = append(c.head, b...)
			break
		}
		line := b[:end]
		if len(c.head) > 0 {
			line = append(c.head, line...)
		}
		line = bytes.TrimSpace(line)
		c.head, b = nil, b[end+1:]
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil {
			return nil, malformed("a chunk's size is %.20q", line)
		}
		c.left = int(n) + 2
	}
	if len(c.head) > 32 {
		return nil, malformed("a chunk's size has %d bytes", len(c.head))
	}
	return body, nil
}
