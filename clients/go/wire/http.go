package wire

import (
	"crypto/tls"
	"net/http"
	"time"
)

// newTransport is the HTTP side of one stream: a connection that no other stream has used. See invariant 1.
func (d *Dialer) newTransport() *http.Transport {
	var c *tls.Config
	if d.TLS != nil {
		c = d.TLS.Clone()
	}
	return &http.Transport{
		Proxy:               d.proxy(),
		DialContext:         d.connect(),
		TLSClientConfig:     c,
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // a compressor in between would hold heartbeats back
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 2, // of SSE: the stream's, and one for acks where it is HTTP/1.1
		IdleConnTimeout:     60 * time.Second,
		ReadBufferSize:      4 << 10,
		WriteBufferSize:     2 << 10,
	}
}
