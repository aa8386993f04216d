package backend

import (
	"testing"
)

func TestPublishOverHTTPIsAccepted(t *testing.T) {
	r := newRig(t, nil, nil)
	res, body := r.do(t, "POST", "/v1/publish", `{"user":"u1","id":"m1","type":"trip.offer","priority":"high","ttl_ms":30000,"payload":{ "fare": 12 }}`)
	if res.StatusCode != 200 || body != `{"results":[{"id":"m1","status":"accepted","devices":2}]}` {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
}
