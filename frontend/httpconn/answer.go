package httpconn

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ramen/protocol"
)

// net/http writes these answers itself, each in one call, straight to the connection: a status line, which may say more, then
// exactly cannedHead, then text. An answer of a handler has a Date, and so is never taken for one.
var (
	statusLine = []byte("HTTP/1.1 ")
	cannedHead = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	// expectation is the one that goes the way of a handler's answer, without a body. No handler here gives this status, and no body has
	// its line: JSON has no CR as it is.
	expectation = []byte("HTTP/1.1 417 Expectation Failed\r\n")
)

// rewrite is the contract's answer in place of b, where b is one of net/http's own; nil where it is not.
func rewrite(b []byte, maxHeader int) []byte {
	if !bytes.HasPrefix(b, statusLine) {
		return nil
	}
	if bytes.HasPrefix(b, expectation) {
		return answer(http.StatusExpectationFailed, protocol.Invalidf("unsupported Expect header: use 100-continue, or omit it"))
	}
	head, rest := b, []byte(nil)
	if end := bytes.IndexByte(b, '\r'); end >= 0 {
		head, rest = b[:end], b[end:]
	}
	if !bytes.HasPrefix(rest, cannedHead) || len(head) < len(statusLine)+3 {
		return nil
	}
	status, err := strconv.Atoi(string(head[len(statusLine) : len(statusLine)+3]))
	if err != nil {
		return nil
	}
	_, why, _ := bytes.Cut(head, []byte(": "))
	return answer(status, refusal(status, string(why), maxHeader))
}

// refusal is the contract's error for a status of net/http's; why is net/http's text.
func refusal(status int, why string, maxHeader int) *protocol.Error {
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		return protocol.Errorf(protocol.CodeTooLarge, "the request's head is too large: at most %d bytes are allowed", maxHeader)
	case http.StatusNotImplemented:
		return protocol.Invalidf("unsupported Transfer-Encoding: use chunked, or a Content-Length")
	case http.StatusHTTPVersionNotSupported:
		return protocol.Invalidf("unsupported HTTP version: use HTTP/1.1, or HTTP/2 over TLS")
	}
	if why == "" {
		why = "its head is malformed"
	}
	return protocol.Invalidf("the request is malformed: %s: send HTTP/1.1 (RFC 9112)", why)
}

// answer is a whole answer, after which the connection ends.
func answer(status int, e *protocol.Error) []byte {
	body := append(protocol.AppendErrorJSON(nil, e), '\n')
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\nContent-Type: application/json\r\nDate: %s\r\n\r\n%s",
		status, http.StatusText(status), len(body), time.Now().UTC().Format(http.TimeFormat), body)
}
