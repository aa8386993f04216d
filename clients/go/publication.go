package ramen

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ramen/protocol"
)

// Publication is one message to publish. SPEC 7.1's Publish says more of each field.
type Publication struct {
	User        string            // whom it is for
	Users       []string          // instead of User: the same message to each
	Device      string            // empty: every device of the user
	ID          string            // empty: one is drawn (UUIDv7). The same id for the same user is delivered once
	Type        string            // for the app to tell messages apart
	Priority    Priority          // zero: Medium
	Payload     []byte            // JSON, unless ContentType says otherwise
	ContentType string            // empty: application/json
	TTL         time.Duration     // 0: the server's default, 30 min; whole ms, from 1 s
	CollapseKey string            // it replaces the user's older messages of the same key and target
	Headers     map[string]string // go with it
	Where       map[string]string // only devices whose context has these values
}

// JSON is v as a payload. It panics where v cannot be JSON at all (a channel, say), as json.Marshal reports it.
func JSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("ramen: payload: %v", err))
	}
	return b
}

// Status is what became of a publication.
type Status = protocol.PublishStatus

// The statuses of SPEC 8.3.3.
const (
	Accepted  = protocol.PublishAccepted  // it is durable
	Duplicate = protocol.PublishDuplicate // one of that id for that user was accepted before
	Rejected  = protocol.PublishRejected
)

// Result is what became of one publication for one user.
type Result struct {
	ID      string
	User    string
	Status  Status
	Devices int   // the known devices that it is for
	Err     error // where rejected: *Error
}

// most is what no server takes more of. What it is configured to take, it says itself.
var most = protocol.PublishLimits{
	AnyServer: true, MaxPayload: 1 << 20, MaxBatch: 1000, MaxBody: 4 << 20, DefaultTTL: time.Minute, MaxTTL: 30 * 24 * time.Hour,
}

// ErrManyUsers is Publish called with Users.
var ErrManyUsers = errors.New("ramen: publish: a message with users has several results; call PublishAll")

// check completes a publication and finds what would spoil the batch that it goes in.
func (m *Publication) check() (protocol.Publish, error) {
	p := protocol.Publish{
		User: m.User, Users: m.Users, Device: m.Device, ID: m.ID, Type: m.Type, Priority: m.Priority,
		Payload: m.Payload, ContentType: m.ContentType, TTLMS: m.TTL.Milliseconds(),
		CollapseKey: m.CollapseKey, Headers: m.Headers, Where: m.Where,
	}
	if m.TTL > 0 && p.TTLMS == 0 {
		p.TTLMS = 1 // too short, and the check says so
	}
	ttl := p.TTLMS
	if err := p.Check(&most); err != nil {
		return p, err
	}
	p.TTLMS = ttl // 0 stays the server's default
	return p, nil
}
