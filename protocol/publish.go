package protocol

import (
	"bytes"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Publish is one message as a publisher asks for it. Its text is unchecked and plain, hence not of the types of ids,
// until Check has passed it. The names are those of SPEC 7.1's Publish.
type Publish struct {
	User        string
	Users       []string // instead of User: the same message to each
	Device      string   // empty: every device of the user
	ID          string   // empty: Check draws one
	Type        string
	Priority    Priority // unspecified: medium
	Payload     []byte   // JSON text where ContentType is empty or IsJSON. A decoder's aliases its input until Check
	ContentType string   // empty: application/json, which Check also makes of what IsJSON
	TTLMS       int64    // 0: the default
	CollapseKey string
	Headers     map[string]string
	Where       map[string]string // only devices whose context has these values

	refused *Error // what a decoder found wrong with a value; Check says it
	owned   bool   // Payload is nobody else's memory
}

// PublishLimits is what a publish may ask for.
type PublishLimits struct {
	// SPEC 1.1.4.
	MaxPayload int `yaml:"max_payload" unit:"bytes" doc:"The most bytes of one message's payload (JSON: without white space), at most 1MiB."`
	// SPEC 8.3.1.
	MaxBatch int `yaml:"max_batch" doc:"The most messages of one request, each user of a message counted; at most 1000."`
	// SPEC 7.3.3, 8.3.6.
	MaxBody    int           `yaml:"max_body" unit:"bytes" doc:"The most bytes of one request after decompression, at most 4MiB."`
	DefaultTTL time.Duration `yaml:"default_ttl" doc:"TTL of a message whose publisher gave none."`
	MaxTTL     time.Duration `yaml:"max_ttl" doc:"The longest TTL that a publisher may ask for, at most 30d. A longer one makes the store larger."`
	AnyServer  bool          // these are what no server exceeds: a client does not know its server's own, and does not name them as such
}

// MinTTL is the shortest life of a message. SPEC 7.1.
const MinTTL = time.Second

const (
	mostPayload    = 1 << 20 // bytes, SPEC 1.1.4
	mostBatch      = 1000    // messages, SPEC 8.3.1
	mostBody       = 4 << 20 // bytes, SPEC 8.3.6
	mostTTL        = 30 * 24 * time.Hour
	maxContentType = 128
)

// DefaultPublishLimits is what SPEC 1.1 and 7.1 name.
func DefaultPublishLimits() PublishLimits {
	return PublishLimits{
		MaxPayload: 64 << 10,
		MaxBatch:   mostBatch,
		MaxBody:    mostBody,
		DefaultTTL: 30 * time.Minute,
		MaxTTL:     24 * time.Hour,
	}
}

// Validate reports the first limit that cannot be.
func (l *PublishLimits) Validate() error {
	switch {
	case l.MaxPayload < 1 || l.MaxPayload > mostPayload:
		return fmt.Errorf("protocol: publish limits: max_payload is %d: it must be 1 to %d bytes", l.MaxPayload, mostPayload)
	case l.MaxBatch < 1 || l.MaxBatch > mostBatch:
		return fmt.Errorf("protocol: publish limits: max_batch is %d: it must be 1 to %d messages", l.MaxBatch, mostBatch)
	case l.MaxBody < 1<<10 || l.MaxBody > mostBody:
		return fmt.Errorf("protocol: publish limits: max_body is %d: it must be %d to %d bytes", l.MaxBody, 1<<10, mostBody)
	case l.MaxTTL < MinTTL || l.MaxTTL > mostTTL:
		return fmt.Errorf("protocol: publish limits: max_ttl is %v: it must be %v to %v", l.MaxTTL, MinTTL, mostTTL)
	case l.DefaultTTL < MinTTL || l.DefaultTTL > l.MaxTTL:
		return fmt.Errorf("protocol: publish limits: default_ttl is %v: it must be %v to max_ttl, %v", l.DefaultTTL, MinTTL, l.MaxTTL)
	}
	return nil
}

// Both reports whether p names a user in both ways, which is never right.
func (p *Publish) Both() bool { return p.User != "" && len(p.Users) > 0 }

// Count is how many messages p is: one a user, and at least one.
func (p *Publish) Count() int { return max(1, len(p.Users)) }

// Check reports what is wrong with p, as an *Error, or makes it what will be stored: an id, a priority, a content type
// and a life are filled in, and Payload becomes a copy without white space between its tokens. Each of Users is left
// for the caller to check, since one that is wrong is rejected by itself. SPEC 1.1, 8.3.4, 9.
func (p *Publish) Check(l *PublishLimits) error {
	if p.refused != nil {
		return p.refused
	}
	if err := p.checkTarget(); err != nil {
		return err
	}
	if err := p.checkWords(); err != nil {
		return err
	}
	if err := p.checkLife(l); err != nil {
		return err
	}
	if err := p.checkPayload(l); err != nil {
		return err
	}
	if p.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return Errorf(CodeInternal, "no id could be generated: %v", err)
		}
		p.ID = id.String()
	}
	return nil
}

func (p *Publish) checkTarget() error {
	switch {
	case p.Both():
		return Invalidf("both user and users are given: give user for one user, or users for several")
	case p.User == "" && len(p.Users) == 0:
		return Invalidf("user is missing: give the user, or users, of the message")
	}
	if len(p.Users) == 0 {
		if err := CheckUser(p.User); err != nil {
			return err
		}
	}
	if p.Device != "" {
		if err := CheckDevice(p.Device); err != nil {
			return err
		}
	}
	if len(p.Where) > 0 {
		return CheckWhere(p.Where)
	}
	return nil
}

func (p *Publish) checkWords() error {
	if p.ID != "" {
		if err := CheckMessageID(p.ID); err != nil {
			return err
		}
	}
	if err := CheckType(p.Type); err != nil {
		return err
	}
	if err := CheckCollapseKey(p.CollapseKey); err != nil {
		return err
	}
	if len(p.Headers) > 0 {
		return CheckHeaders(p.Headers)
	}
	return nil
}

func (p *Publish) checkLife(l *PublishLimits) error {
	switch {
	case p.Priority == PriorityUnspecified:
		p.Priority = PriorityMedium
	case p.Priority > PriorityLow:
		return Invalidf("priority is %d: it must be 1 (high), 2 (medium), 3 (low), or 0 for medium", p.Priority)
	}
	if p.TTLMS == 0 {
		p.TTLMS = l.DefaultTTL.Milliseconds()
	} else if p.TTLMS < MinTTL.Milliseconds() || p.TTLMS > l.MaxTTL.Milliseconds() {
		if l.AnyServer {
			return Invalidf("ttl_ms is %d: it must be from %d to the server's limit, which is at most %d, or 0 for the default", p.TTLMS, MinTTL.Milliseconds(), l.MaxTTL.Milliseconds())
		}
		return Invalidf("ttl_ms is %d: it must be %d to %d, or 0 for the default of %d",
			p.TTLMS, MinTTL.Milliseconds(), l.MaxTTL.Milliseconds(), l.DefaultTTL.Milliseconds())
	}
	return nil
}

func (p *Publish) checkPayload(l *PublishLimits) error {
	if p.ContentType == "" {
		p.ContentType = ContentTypeJSON
	} else if err := checkContentType(p.ContentType); err != nil {
		return err
	} else if IsJSON(p.ContentType) { // one word for it, which stores and encoders compare with
		p.ContentType = ContentTypeJSON
	}
	if len(p.Payload) == 0 {
		p.Payload = nil
		return nil
	}
	if p.ContentType == ContentTypeJSON {
		compact, err := CompactJSON(make([]byte, 0, len(p.Payload)), p.Payload)
		if err != nil {
			return badPayload(err)
		}
		if len(compact) < cap(compact)-cap(compact)/4 { // it may live for a day: do not keep the white space's memory
			compact = bytes.Clone(compact)
		}
		p.Payload, p.owned = compact, true
	}
	if len(p.Payload) > l.MaxPayload {
		if l.AnyServer {
			return Errorf(CodeTooLarge, "payload has %d bytes: at most %d are allowed, and a server may allow less", len(p.Payload), l.MaxPayload)
		}
		return Errorf(CodeTooLarge, "payload has %d bytes: at most %d are allowed", len(p.Payload), l.MaxPayload)
	}
	if !p.owned {
		p.Payload, p.owned = bytes.Clone(p.Payload), true
	}
	return nil
}

func badPayload(err error) error {
	cause := err.Error()
	if e, ok := err.(*Error); ok {
		cause = e.Message
	}
	return Invalidf("payload is not one JSON value: %s; send valid JSON, or set content_type", cause)
}

// checkContentType bounds what goes to devices as it is: unlike ids it may have spaces ("text/plain; charset=utf-8").
func checkContentType(s string) error {
	if len(s) > maxContentType {
		return Invalidf("content_type has %d bytes: at most %d are allowed", len(s), maxContentType)
	}
	if !utf8.ValidString(s) {
		return Invalidf("content_type is not UTF-8: it must be printable text, such as text/plain")
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsPrint(r) {
			return Invalidf("content_type has the character %U: it must be printable text, such as text/plain", r)
		}
	}
	return nil
}
