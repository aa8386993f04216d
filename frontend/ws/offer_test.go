package ws

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/websocket"
)

const someKey = "MDEyMzQ1Njc4OWFiY2RlZg=="

func (o *Offer) header() http.Header {
	h := http.Header{}
	for k, v := range map[string]string{
		"Connection": o.Connection, "Upgrade": o.Upgrade, "Sec-Websocket-Version": o.Version, "Sec-Websocket-Key": o.Key,
		"Sec-Websocket-Protocol": o.Protocols, "Sec-Websocket-Extensions": o.Extensions,
	} {
		if v != "" {
			h.Set(k, v)
		}
	}
	return h
}

// gorillas is the answer of gorilla's Upgrader to the same offer; nil where it refuses.
func gorillas(t *testing.T, o *Offer, cfg Config) []byte {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/ramen/ws", nil)
	r.Header = o.header()
	u := websocket.Upgrader{EnableCompression: cfg.Deflate, Error: func(http.ResponseWriter, *http.Request, int, error) {}}
	if o.Protocols != "" {
		u.Subprotocols = []string{chooseSubprotocol(o.Protocols)}
	}
	c, other := net.Pipe()
	defer other.Close()
	head := &headConn{Conn: c}
	ws, err := u.Upgrade(hijacker{httptest.NewRecorder(), head, ""}, r, nil)
	if err != nil {
		return nil
	}
	ws.Close()
	return head.head.Bytes()
}

// headConn keeps what is written to it.
type headConn struct {
	net.Conn
	head bytes.Buffer
}

func (c *headConn) Write(b []byte) (int, error) { return c.head.Write(b) }

// Offers are answered in the bytes of gorilla's Upgrader, and refused where it refuses: but for unknown subprotocols, which it
// takes, and for windows of compression, which it does not look at.
func TestAnswerIsGorillas(t *testing.T) {
	good := Offer{"Upgrade", "websocket", "13", someKey, "", ""}
	with := func(change func(o *Offer)) Offer {
		o := good
		change(&o)
		return o
	}
	for name, c := range map[string]struct {
		o       Offer
		refused bool
		differs bool
	}{
		"plain":          {o: good},
		"browser":        {o: with(func(o *Offer) { o.Connection, o.Upgrade = "keep-alive, Upgrade", "WebSocket" })},
		"lists":          {o: with(func(o *Offer) { o.Connection, o.Upgrade, o.Version = "a,upgrade ,b", "h2c, websocket", "8, 13" })},
		"json":           {o: with(func(o *Offer) { o.Protocols = SubprotocolJSON })},
		"second":         {o: with(func(o *Offer) { o.Protocols = "other, " + SubprotocolProto })},
		"unknown":        {o: with(func(o *Offer) { o.Protocols = "other" }), refused: true, differs: true},
		"deflate":        {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; client_max_window_bits" })},
		"smaller window": {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; server_max_window_bits=10" }), differs: true},
		"second offer":   {o: with(func(o *Offer) { o.Extensions = "permessage-deflate; server_max_window_bits=10, permessage-deflate" })},
		"other":          {o: with(func(o *Offer) { o.Extensions = "x-webkit-deflate-frame" })},
		"no upgrade":     {o: with(func(o *Offer) { o.Connection = "close" }), refused: true},
		"part of one":    {o: with(func(o *Offer) { o.Connection = "upgrades" }), refused: true},
		"h2c":            {o: with(func(o *Offer) { o.Upgrade = "h2c" }), refused: true},
		"version 8":      {o: with(func(o *Offer) { o.Version = "8" }), refused: true},
		"no key":         {o: with(func(o *Offer) { o.Key = "" }), refused: true},
		"short key":      {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2Rl" }), refused: true},
		"long key":       {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2RlZmc=" }), refused: true},
		"no base64":      {o: with(func(o *Offer) { o.Key = "MDEyMzQ1Njc4OWFiY2RlZ-==" }), refused: true},
	} {
		for _, cfg := range []Config{{}, {Deflate: true}} {
			n, err := c.o.Answer(cfg)
			if (err != nil) != c.refused || err != nil && (err.Status != http.StatusBadRequest || err.Text == "") {
				t.Errorf("%s: answered %q, %v", name, n.Head, err)
			}
			if ref := gorillas(t, &c.o, cfg); !c.differs && !bytes.Equal(n.Head, ref) {
				t.Errorf("%s: %q, not %q", name, n.Head, ref)
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
