package conformance

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"ramen/protocol"
)

// opening is what a device said when it opened a stream.
type opening struct {
	kind   string // transport, as in Transports
	user   string
	device string
	cursor string
	token  string
	window int
	beat   int // ms
	labels map[string]string
	at     time.Time
}

func openingOf(kind string, r *http.Request) opening {
	q := r.URL.Query()
	o := opening{kind: kind, user: q.Get("user"), device: q.Get("device"), cursor: q.Get("cursor"), token: q.Get("token"), labels: map[string]string{}, at: time.Now()}
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		o.cursor = id
	}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		o.token = bearer
	}
	o.window, _ = strconv.Atoi(q.Get("window"))
	o.beat, _ = strconv.Atoi(q.Get("heartbeat_ms"))
	for name := range q {
		if label, ok := strings.CutPrefix(name, "label."); ok {
			o.labels[label] = q.Get(name)
		}
	}
	return o
}

func openingOfFrame(f *protocol.OpenFrame, r *http.Request) opening {
	o := opening{kind: "grpc", user: string(f.User), device: string(f.Device), cursor: f.Cursor, token: f.Token, window: int(f.Window), beat: int(f.HeartbeatMS), at: time.Now()}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		o.token = bearer
	}
	if f.Context != nil {
		o.labels = f.Context.Labels
	}
	return o
}

// is reports whether the stream was opened over kind; ws is both forms of it.
func (o *opening) is(kind string) bool {
	switch kind {
	case "":
		return true
	case "ws":
		return strings.HasPrefix(o.kind, "ws-")
	case "sse":
		return o.kind == "sse" || o.kind == "eventsource"
	}
	return o.kind == kind
}
