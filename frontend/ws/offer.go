package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"strings"
)

// Offer is what a client's handshake says, a value of each header. RFC 6455 4.1.
type Offer struct{ Connection, Upgrade, Version, Key, Protocols, Extensions string }

// Answer is Handshake for a head that was read without net/http, and whose Origin is allowed. False: it is no handshake in the
// form in which nearly all come, and Handshake says what is wrong with it.
func (o *Offer) Answer(cfg Config) (n Negotiated, ok bool) {
	if !listed(o.Connection, "upgrade") || !strings.EqualFold(o.Upgrade, "websocket") || o.Version != "13" {
		return n, false
	}
	var nonce [18]byte // 16 and what the padding might hold
	if len(o.Key) != base64.StdEncoding.EncodedLen(16) {
		return n, false
	}
	if k, err := base64.StdEncoding.Decode(nonce[:], []byte(o.Key)); err != nil || k != 16 {
		return n, false
	}
	n.Subprotocol = SubprotocolJSON
	if o.Protocols != "" {
		if n.Subprotocol, ok = choose(o.Protocols); !ok {
			return n, false
		}
	}
	n.Deflate = cfg.Deflate && o.Extensions != "" && takesDeflate(o.Extensions)
	n.Head = o.appendHead(make([]byte, 0, 256), &n)
	return n, true
}

// appendHead appends the response, in the bytes of Handshake's. RFC 6455 4.2.2.
func (o *Offer) appendHead(b []byte, n *Negotiated) []byte {
	var text [24 + len(acceptGUID)]byte
	copy(text[copy(text[:], o.Key):], acceptGUID)
	sum := sha1.Sum(text[:])
	b = append(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if o.Protocols != "" {
		b = append(b, "\r\nSec-WebSocket-Protocol: "...)
		b = append(b, n.Subprotocol...)
	}
	if n.Deflate {
		b = append(b, "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"...)
	}
	return append(b, "\r\n\r\n"...)
}

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 1.3

// listed reports whether a list of tokens has one, in any case.
func listed(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), token) {
			return true
		}
	}
	return false
}
