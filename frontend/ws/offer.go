package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The subprotocols of SPEC 6.
const (
	SubprotocolJSON  = "ramen.v1.json"
	SubprotocolProto = "ramen.v1.proto"
)

const (
	version    = "13"                                   // RFC 6455 4.1
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 1.3
)

// Offer is what a client's handshake says: a value of each header, lists joined by commas. RFC 6455 4.1.
type Offer struct{ Connection, Upgrade, Version, Key, Protocols, Extensions string }

func offerOf(h http.Header) Offer {
	list := func(name string) string { return strings.Join(h[name], ", ") }
	return Offer{
		Connection: list("Connection"), Upgrade: list("Upgrade"), Version: list("Sec-Websocket-Version"),
		Key: h.Get("Sec-Websocket-Key"), Protocols: list("Sec-Websocket-Protocol"), Extensions: list("Sec-Websocket-Extensions"),
	}
}

// Answer agrees to o, or says what is wrong with it (status 400). The request's method and Origin are the caller's to judge.
// RFC 6455 4.2.
func (o *Offer) Answer(cfg Config) (n Negotiated, err *HandshakeError) {
	switch {
	case !listed(o.Connection, "upgrade"):
		return n, refused(notWebSocket + "'upgrade' token not found in 'Connection' header")
	case !listed(o.Upgrade, "websocket"):
		return n, refused(notWebSocket + "'websocket' token not found in 'Upgrade' header")
	case !listed(o.Version, version):
		return n, refused("unsupported version: " + version + " not found in 'Sec-WebSocket-Version' header")
	case !isKey(o.Key):
		return n, refused("not a websocket handshake: 'Sec-WebSocket-Key' header must be Base64 encoded value of 16-byte in length")
	}
	n.Subprotocol = SubprotocolJSON
	if o.Protocols != "" {
		if n.Subprotocol = chooseSubprotocol(o.Protocols); n.Subprotocol == "" {
			return n, refused(fmt.Sprintf("subprotocol %q is unknown: ask for %s, %s or none", o.Protocols, SubprotocolJSON, SubprotocolProto))
		}
	}
	n.Deflate = cfg.Deflate && o.Extensions != "" && offersDeflate(o.Extensions)
	n.Head = o.appendHead(make([]byte, 0, 256), &n)
	return n, nil
}

const notWebSocket = "the client is not using the websocket protocol: "

func refused(text string) *HandshakeError { return &HandshakeError{http.StatusBadRequest, text} }

// isKey reports whether key is 16 bytes in base64.
func isKey(key string) bool {
	var nonce [18]byte // 16 and what the padding might hold
	if len(key) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// appendHead appends the response. RFC 6455 4.2.2.
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

// listed reports whether a list of tokens has one, in any case.
func listed(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(t, " \t"), token) {
			return true
		}
	}
	return false
}

// chooseSubprotocol is the first of a list that the server knows, or empty.
func chooseSubprotocol(list string) string {
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.TrimSpace(name); name {
		case SubprotocolJSON, SubprotocolProto:
			return name
		}
	}
	return ""
}

// offersDeflate says whether an offer of the client's can be taken as it is: our answer promises no smaller window, so that
// one which demands it is no use. RFC 7692 7.1.2.1.
func offersDeflate(list string) bool {
	for offer := range strings.SplitSeq(list, ",") {
		params := strings.Split(offer, ";")
		if strings.TrimSpace(params[0]) != "permessage-deflate" {
			continue
		}
		if !slices.ContainsFunc(params[1:], func(p string) bool {
			name, _, _ := strings.Cut(p, "=")
			switch strings.TrimSpace(name) {
			case "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits":
				return false
			}
			return true
		}) {
			return true
		}
	}
	return false
}
