package ws

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// hijackable is a response whose connection can be taken over: nothing is written to it.
type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, other := net.Pipe()
	other.Close()
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

const someKey = "MDEyMzQ1Njc4OWFiY2RlZg=="

// What is answered without net/http is answered in the same bytes by Handshake; what is not, is left to it.
func TestAnswerIsHandshakes(t *testing.T) {
	good := Offer{"Upgrade", "websocket", "13", someKey, "", ""}
	with := func(change func(o *Offer)) Offer {
		o := good
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		o    Offer
		left bool
	}{
		"plain":          {o: good},
		"browser":        {o: with(func(o *Offer) { o.Connection, o.Upgrade = "keep-alive, Upgrade", "WebSocket" })},
		"json":           {o: with(func(o *Offer) { o.Protocols = SubprotocolJSON })},
		"second":         {o: with(func(o *Offer) { o.Protocols = "other, " + SubprotocolProto })},
		"unknown":        {o: with(func(o *Offer) { o.Protocols = "other" }), left: true},
		"deflate":        {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; client_max_window_bits" })},
		"smaller window": {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; server_max_window_bits=10" })},
		"second offer":   {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; server_max_window_bits=10, permessage-deflate" })},
		"other":          {o: with(func(o *Offer) { o.Extensions = "x-webkit-deflate-frame" })},
		"no upgrade":     {o: with(func(o *Offer) { o.Connection = "close" }), left: true},
		"part of one":    {o: with(func(o *Offer) { o.Connection = "upgrades" }), left: true},
		"h2c":            {o: with(func(o *Offer) { o.Upgrade = "h2c" }), left: true},
		"version 8":      {o: with(func(o *Offer) { o.Version = "8" }), left: true},
		"no key":         {o: with(func(o *Offer) { o.Key = "" }), left: true},
		"short key":      {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2Rl" }), left: true},
		"long key":       {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2RlZmc=" }), left: true},
		"no base64":      {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2RlZ-==" }), left: true},
	} {
		for _, cfg := range []Config{{}, {Deflate: true}} {
			n, ok := c.o.Answer(cfg)
			if ok == c.left {
				t.Errorf("%s: answered %v", name, ok)
			}
			if !ok {
				continue
			}
			r := httptest.NewRequest(http.MethodGet, "/ramen/ws", nil)
			for k, v := range map[string]string{
				"Connection": c.o.Connection, "Upgrade": c.o.Upgrade, "Sec-Websocket-Version": c.o.Version, "Sec-Websocket-Key": c.o.Key,
				"Sec-Websocket-Protocol": c.o.Protocols, "Sec-Websocket-Extensions": c.o.Extensions,
			} {
				if v != "" {
					r.Header.Set(k, v)
				}
			}
			conn, ref, err := Handshake(hijackable{httptest.NewRecorder()}, r, cfg, nil)
			if err != nil {
				t.Errorf("%s: answered, but %v", name, err)
				continue
			}
			conn.Close()
			if n.Subprotocol != ref.Subprotocol || n.Deflate != ref.Deflate || !bytes.Equal(n.Head, ref.Head) {
				t.Errorf("%s: %q %v\n%q, not %q %v\n%q", name, n.Subprotocol, n.Deflate, n.Head, ref.Subprotocol, ref.Deflate, ref.Head)
			}
		}
	}
}

func TestAnswerCostsOneAllocation(t *testing.T) {
	o := Offer{"Upgrade", "websocket", "13", someKey, SubprotocolJSON, ""}
	if n := testing.AllocsPerRun(100, func() { o.Answer(Config{}) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
