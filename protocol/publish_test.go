package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"ramen/protocol/ramenpb"
)

func limits() *PublishLimits {
	l := DefaultPublishLimits()
	return &l
}

func TestPublishBodyIsReadAsWritten(t *testing.T) {
	body := `{"user":"u1","device":"d1","id":"m1","type":"trip.offer","priority":"low","payload": {"a" : [1, 2.50]},"ttl_ms":5000,
		"collapse_key":"trip","headers":{"a":"b"},"where":{"app":"rider","label.x":"y"}}`
	got, batch, err := DecodePublishJSON(nil, []byte(body), limits())
	if err != nil || batch || len(got) != 1 {
		t.Fatal(got, batch, err)
	}
	if err := got[0].Check(limits()); err != nil {
		t.Fatal(err)
	}
	want := Publish{User: "u1", Device: "d1", ID: "m1", Type: "trip.offer", Priority: PriorityLow, Payload: []byte(`{"a":[1,2.50]}`), TTLMS: 5000,
		ContentType: ContentTypeJSON, CollapseKey: "trip", Headers: map[string]string{"a": "b"}, Where: map[string]string{"app": "rider", "label.x": "y"}, owned: true}
	if !reflect.DeepEqual(got[0], want) {
		t.Fatalf("got %+v\nwant %+v", got[0], want)
	}
}

// What refuses the body as a whole: 400, and nothing of it counts. SPEC 8.
func TestBadBodyNamesFieldAndByte(t *testing.T) {
	many := `{"messages":[` + strings.Repeat(`{"user":"u"},`, 1000) + `{"user":"u"}]}`
	for _, c := range []struct{ body, want string }{
		{``, "body is empty: send a JSON object"},
		{"  ", "body is empty: send a JSON object"},
		{`{`, "body is not JSON: it ends too early, at byte 1"},
		{`{"user":"u"`, "body is not JSON: it ends too early, at byte 11"},
		{`[]`, "body at byte 0 is an array: it must be an object"},
		{`"x"`, "body at byte 0 is a string: it must be an object"},
		{`nope`, "body is not JSON at byte 1: invalid character 'o' in literal null (expecting 'u')"},
		{`{"user":"u",}`, "body is not JSON at byte 11: invalid character ',' at start of value"},
		{`{"user" "u"}`, "body is not JSON at byte 8: invalid character '\"' after object name (expecting ':')"},
		{`{"user":"u"} {}`, "body has more data at byte 13, after its JSON value: send one object"},
		{"{\"user\":\"\xff\"}", "body is not UTF-8 at byte 9"},
		{`{"user":"\ud800"}`, "user at byte 8 has an escape of half a surrogate pair, which is not a character"},
		{`{"user":1}`, "user at byte 8 is a number: it must be a string"},
		{`{"user":7}`, "user at byte 8 is a number: it must be a string"},
		{`{"users":"u"}`, "users at byte 9 is a string: it must be an array"},
		{`{"users":["u",true]}`, "users[1] at byte 14 is a boolean: it must be a string"},
		{`{"device":{}}`, "device at byte 10 is an object: it must be a string"},
		{`{"id":[]}`, "id at byte 6 is an array: it must be a string"},
		{`{"priority":1}`, "priority at byte 12 is a number: it must be a string"},
		{`{"payload_b64":{}}`, "payload_b64 at byte 15 is an object: it must be a string"},
		{`{"content_type":0}`, "content_type at byte 16 is a number: it must be a string"},
		{`{"ttl_ms":"5000"}`, "ttl_ms at byte 10 is a string: it must be a whole number"},
		{`{"ttl_ms":5000.5}`, "ttl_ms at byte 10 is 5000.5: it must be a whole number"},
		{`{"headers":["a"]}`, "headers at byte 11 is an array: it must be an object"},
		{`{"headers":{"a":1}}`, "headers.a at byte 16 is a number: it must be a string"},
		{`{"where":{"app":"a","app":"b"}}`, "where.app at byte 20 is given twice: give it once"},
		{`{"user":"a","user":"b"}`, "user at byte 12 is given twice: give it once"},
		{`{"User":"a"}`, "User at byte 1 is unknown: the fields of a message are " + publishFieldNames},
		{`{"messages":[{"usr":"a"}]}`, "messages[0].usr at byte 14 is unknown: the fields of a message are " + publishFieldNames},
		{`{"messages":[{"messages":[]}]}`, "messages[0].messages at byte 14 is unknown: the fields of a message are " + publishFieldNames},
		{`{"messages":{}}`, "messages at byte 12 is an object: it must be an array"},
		{`{"messages":[1]}`, "messages[0] at byte 13 is a number: it must be an object"},
		{`{"messages":[]}`, "messages is empty: send 1 to 1000"},
		{`{"messages":[{"user":"a"}],"user":"b"}`, "user at byte 27 stands beside messages: send only messages, or a single message"},
		{`{"user":"b","messages":[{"user":"a"}]}`, "messages at byte 12 stands beside messages: send only messages, or a single message"},
		{`{"messages":[{"user":"a"}],"messages":[{"user":"a"}]}`, "messages at byte 27 is given twice: give it once"},
		{many, "the request has over 1000 messages, each user counted: send 1 to 1000 at once"},
		{`{"users":[` + strings.Repeat(`"u",`, 1000) + `"u"]}`, "the request has over 1000 messages, each user counted: send 1 to 1000 at once"},
		{`{"messages":[{"user":"a"},{"users":[` + strings.Repeat(`"u",`, 999) + `"u"]}]}`, "the request has over 1000 messages, each user counted: send 1 to 1000 at once"},
	} {
		got, _, err := DecodePublishJSON(nil, []byte(c.body), limits())
		e, ok := err.(*Error)
		if !ok || e.Code != CodeInvalidArgument || e.Message != c.want || got != nil {
			t.Errorf("%.60s\n got %v\nwant %s", c.body, err, c.want)
		}
	}
}

// What one message is rejected for, by itself. SPEC 1, 7, 9.
func TestBadValueIsSaidByCheck(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, c := range []struct {
		body string
		code Code
		want string
	}{
		{`{}`, CodeInvalidArgument, "user is missing: give the user, or users, of the message"},
		{`{"users":[]}`, CodeInvalidArgument, "user is missing: give the user, or users, of the message"},
		{`{"user":"a","users":["b"]}`, CodeInvalidArgument, "both user and users are given: give user for one user, or users for several"},
		{`{"user":"a b"}`, CodeInvalidArgument, "user has U+0020 at byte 1: it must be 1 to 128 bytes of printable UTF-8, without spaces and control characters"},
		{`{"user":"` + long + `"}`, CodeInvalidArgument, "user has 129 bytes: at most 128 are allowed"},
		{`{"user":"a","device":"\n"}`, CodeInvalidArgument, "device has U+000A at byte 0: it must be 1 to 128 bytes of printable UTF-8, without spaces and control characters"},
		{`{"user":"a","id":"` + long + `"}`, CodeInvalidArgument, "id has 129 bytes: at most 128 are allowed"},
		{`{"user":"a","type":"a b"}`, CodeInvalidArgument, "type has U+0020 at byte 1: it must be 1 to 128 bytes of printable UTF-8, without spaces and control characters"},
		{`{"user":"a","collapse_key":"` + long + `"}`, CodeInvalidArgument, "collapse_key has 129 bytes: at most 128 are allowed"},
		{`{"user":"a","priority":"urgent"}`, CodeInvalidArgument, `priority "urgent" is unknown: it must be high, medium or low`},
		{`{"user":"a","priority":"High"}`, CodeInvalidArgument, `priority "High" is unknown: it must be high, medium or low`},
		{`{"user":"a","ttl_ms":999}`, CodeInvalidArgument, "ttl_ms is 999: it must be 1000 to 86400000, or 0 for the default of 1800000"},
		{`{"user":"a","ttl_ms":-1}`, CodeInvalidArgument, "ttl_ms is -1: it must be 1000 to 86400000, or 0 for the default of 1800000"},
		{`{"user":"a","ttl_ms":86400001}`, CodeInvalidArgument, "ttl_ms is 86400001: it must be 1000 to 86400000, or 0 for the default of 1800000"},
		{`{"user":"a","payload":1,"payload_b64":"MQ=="}`, CodeInvalidArgument, "both payload and payload_b64 are given: give one of them"},
		{`{"user":"a","payload_b64":"MQ==","payload":null}`, CodeInvalidArgument, "both payload and payload_b64 are given: give one of them"},
		{`{"user":"a","payload":"hi","content_type":"text/plain"}`, CodeInvalidArgument, `content_type is "text/plain", but payload is JSON: omit content_type, or send the content as payload_b64`},
		{`{"user":"a","payload_b64":"MQ"}`, CodeInvalidArgument, "payload_b64 is not valid base64 with padding (RFC 4648 section 4): illegal base64 data at input byte 0"},
		{`{"user":"a","payload_b64":"eA=="}`, CodeInvalidArgument, `payload is not one JSON value: error at byte 0: invalid character 'x' at start of value; send valid JSON, or set content_type`},
		{`{"user":"a","payload_b64":"","content_type":"` + long + `"}`, CodeInvalidArgument, "content_type has 129 bytes: at most 128 are allowed"},
		{`{"user":"a","payload_b64":"","content_type":"a\tb"}`, CodeInvalidArgument, "content_type has the character U+0009: it must be printable text, such as text/plain"},
		{`{"user":"a","payload":"` + strings.Repeat("x", 65535) + `"}`, CodeTooLarge, "payload has 65537 bytes: at most 65536 are allowed"},
		{`{"user":"a","headers":{"k":"` + strings.Repeat("x", 4096) + `"}}`, CodeInvalidArgument, "headers have 4097 bytes, keys counted: at most 4096 are allowed"},
		{`{"user":"a","where":{"city":"x"}}`, CodeInvalidArgument, `where has the unknown key "city": the keys are app, app_version, os, os_version, model, locale and label.NAME`},
	} {
		for _, body := range []string{c.body, `{"messages":[` + c.body + `]}`} {
			got, _, err := DecodePublishJSON(nil, []byte(body), limits())
			if err != nil {
				t.Errorf("%.60s refused as a whole: %v", body, err)
				continue
			}
			e, ok := got[0].Check(limits()).(*Error)
			if !ok || e.Code != c.code || e.Message != c.want {
				t.Errorf("%.60s\n got %v\nwant %s: %s", body, e, c.code, c.want)
			}
		}
	}
}

func TestCheckFillsInWhatIsLeftOut(t *testing.T) {
	p := Publish{Users: []string{"a", "b"}}
	if err := p.Check(limits()); err != nil {
		t.Fatal(err)
	}
	if len(p.ID) != 36 || p.ID[14] != '7' || p.Priority != PriorityMedium || p.ContentType != ContentTypeJSON || p.TTLMS != 30*60*1000 || p.Payload != nil {
		t.Fatalf("%+v", p)
	}
	again := p
	if err := again.Check(limits()); err != nil || again.ID != p.ID {
		t.Fatalf("a second check changed the message: %v %+v", err, again)
	}
}

func TestCheckedPayloadIsItsOwnMemory(t *testing.T) {
	for _, body := range []string{`{"user":"a","payload":"hello"}`, `{"user":"a","payload_b64":"aGVsbG8=","content_type":"text/plain"}`} {
		text := []byte(body)
		got, _, err := DecodePublishJSON(nil, text, limits())
		if err != nil {
			t.Fatal(err)
		}
		if err := got[0].Check(limits()); err != nil {
			t.Fatal(err)
		}
		before := string(got[0].Payload)
		for i := range text {
			text[i] = '#'
		}
		if string(got[0].Payload) != before {
			t.Errorf("%s: the payload aliases the body", body)
		}
	}
	p := Publish{User: "a", Payload: []byte("raw"), ContentType: "text/plain"}
	raw := p.Payload
	if err := p.Check(limits()); err != nil || &raw[0] == &p.Payload[0] {
		t.Fatal("the payload aliases what was given", err)
	}
	white := Publish{User: "a", Payload: []byte("[" + strings.Repeat(" ", 1000) + "1]")}
	if err := white.Check(limits()); err != nil || cap(white.Payload) > 16 {
		t.Fatalf("a payload of %d bytes keeps %d: %v", len(white.Payload), cap(white.Payload), err)
	}
}

func TestPayloadIsMeasuredWithoutWhiteSpace(t *testing.T) {
	p := Publish{User: "a", Payload: []byte("[" + strings.Repeat(" ", 70<<10) + "1]")}
	if err := p.Check(limits()); err != nil || string(p.Payload) != "[1]" {
		t.Fatal(err, len(p.Payload))
	}
}

func TestDepthOfAPayload(t *testing.T) {
	const around = 3 // the body's own object, messages, and the message: jsontext counts them with the payload's
	for depth, ok := range map[int]bool{maxJSONDepth - around: true, maxJSONDepth + 1: false} {
		payload := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		for _, body := range []string{`{"user":"a","payload":` + payload + `}`, `{"messages":[{"user":"a","payload":` + payload + `}]}`} {
			got, _, err := DecodePublishJSON(nil, []byte(body), limits())
			if err == nil {
				err = got[0].Check(limits())
			}
			if (err == nil) != ok {
				t.Errorf("depth %d: %v", depth, err)
			}
		}
	}
}

func TestEscapedNamesAndTextAreTheSame(t *testing.T) {
	got, _, err := DecodePublishJSON(nil, []byte(`{"\u0075ser":"\u00fc\ud83d\ude00\/"}`), limits())
	if err != nil || got[0].User != "ü😀/" {
		t.Fatal(got, err)
	}
}

func TestLimitsValidate(t *testing.T) {
	if err := limits().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*PublishLimits){
		func(l *PublishLimits) { l.MaxPayload = 0 },
		func(l *PublishLimits) { l.MaxPayload = 1<<20 + 1 },
		func(l *PublishLimits) { l.MaxBatch = 1001 },
		func(l *PublishLimits) { l.MaxBody = 5 << 20 },
		func(l *PublishLimits) { l.MaxTTL = time.Millisecond },
		func(l *PublishLimits) { l.DefaultTTL = 25 * time.Hour },
	} {
		l := limits()
		if change(l); l.Validate() == nil {
			t.Errorf("%+v is taken", l)
		}
	}
}

func samples() []Publish {
	return []Publish{
		{User: "u"},
		{User: "ü\"\\", Device: "d", ID: "i", Type: "t", Priority: PriorityHigh, Payload: []byte(`{"a":"\u00e9"}`), TTLMS: 1000, CollapseKey: "k",
			Headers: map[string]string{"b": "", "a": "x\n"}, Where: map[string]string{"os": "ios"}},
		{Users: []string{"a", "b"}, Payload: []byte{0, 255}, ContentType: "application/octet-stream"},
		{User: "u", ContentType: "text/plain"},
		{User: "u", ContentType: ContentTypeJSON, Payload: []byte("1")},
	}
}

// stripped is p without what only a decoder knows.
func stripped(p Publish) Publish { p.refused, p.owned = nil, false; return p }

func samePublish(a, b Publish) bool {
	a, b = stripped(a), stripped(b)
	return bytes.Equal(a.Payload, b.Payload) && maps.Equal(a.Headers, b.Headers) && maps.Equal(a.Where, b.Where) && slices.Equal(a.Users, b.Users) &&
		fmt.Sprint(a.User, a.Device, a.ID, a.Type, a.Priority, a.ContentType, a.TTLMS, a.CollapseKey) ==
			fmt.Sprint(b.User, b.Device, b.ID, b.Type, b.Priority, b.ContentType, b.TTLMS, b.CollapseKey)
}

func TestPublishJSONRoundTrip(t *testing.T) {
	all := samples()
	got, batch, err := DecodePublishJSON(nil, AppendPublishBatchJSON(nil, all), limits())
	if err != nil || !batch || len(got) != len(all) {
		t.Fatal(len(got), batch, err)
	}
	for i := range all {
		one, batch, err := DecodePublishJSON(nil, AppendPublishJSON(nil, &all[i]), limits())
		if err != nil || batch || !samePublish(all[i], got[i]) || !samePublish(all[i], one[0]) {
			t.Errorf("%+v\nin a batch %+v\nalone %+v %v", all[i], got[i], one, err)
		}
	}
}

func TestPublishResultsRoundTrip(t *testing.T) {
	all := []PublishResult{
		{ID: "a", Status: PublishAccepted, Devices: 2},
		{ID: "b\"", Status: PublishDuplicate},
		{Status: PublishRejected, Err: Invalidf("user is\nmissing")},
	}
	b := AppendPublishResults(nil, all)
	want := `{"results":[{"id":"a","status":"accepted","devices":2},{"id":"b\"","status":"duplicate","devices":0},` +
		`{"status":"rejected","error":{"code":"invalid_argument","message":"user is\nmissing"},"devices":0}]}`
	if string(b) != want {
		t.Fatalf("got  %s\nwant %s", b, want)
	}
	got, err := DecodePublishResults(b)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Fatal(got, err)
	}
	if got, err := DecodePublishResults([]byte(`{"new":[{}],"results":[{"status":"parked","devices":-1,"receipt":{}}]}`)); err != nil || len(got) != 1 || got[0].Status != PublishUnspecified {
		t.Fatal("additions are not passed over", got, err)
	}
	if string(AppendPublishResults(nil, nil)) != `{"results":[]}` {
		t.Fatal("a list is null")
	}
	for _, bad := range []string{``, `{"results":{}}`, `{"results":[{"id":1}]}`, `[]`} {
		if _, err := DecodePublishResults([]byte(bad)); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestDisconnectBody(t *testing.T) {
	for _, c := range []struct{ body, device, detail, err string }{
		{``, "", "", ""},
		{`{}`, "", "", ""},
		{`{"device":"d","detail":"go away"}`, "d", "go away", ""},
		{`{"user":"u"}`, "", "", "user at byte 1 is unknown: the fields are device and detail"},
		{`{"device":1}`, "", "", "device at byte 10 is a number: it must be a string"},
		{`{"device":"a","device":"b"}`, "", "", "device at byte 14 is given twice: give it once"},
	} {
		device, detail, err := DecodeDisconnectJSON([]byte(c.body))
		if c.err != "" {
			if e, ok := err.(*Error); !ok || e.Message != c.err {
				t.Errorf("%s: %v", c.body, err)
			}
		} else if err != nil || device != c.device || detail != c.detail {
			t.Errorf("%s: %q %q %v", c.body, device, detail, err)
		}
	}
}

func publishToProto(p *Publish) *ramenpb.Publish {
	return &ramenpb.Publish{User: p.User, Users: p.Users, Device: p.Device, Id: p.ID, Type: p.Type, Priority: ramenpb.Priority(p.Priority),
		Payload: p.Payload, ContentType: p.ContentType, TtlMs: uint32(p.TTLMS), CollapseKey: p.CollapseKey, Headers: p.Headers, Where: p.Where}
}

func publishFromProto(p *ramenpb.Publish) Publish {
	return Publish{User: p.User, Users: p.Users, Device: p.Device, ID: p.Id, Type: p.Type, Priority: Priority(min(uint32(p.Priority), 255)),
		Payload: p.Payload, ContentType: p.ContentType, TTLMS: int64(p.TtlMs), CollapseKey: p.CollapseKey, Headers: p.Headers, Where: p.Where}
}

func TestPublishProtoIsReadAsGeneratedCodeWritesIt(t *testing.T) {
	all := samples()
	in := new(ramenpb.PublishRequest)
	for i := range all {
		in.Messages = append(in.Messages, publishToProto(&all[i]))
	}
	b, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodePublishProto(nil, b, limits())
	if err != nil || len(got) != len(all) {
		t.Fatal(len(got), err)
	}
	for i := range all {
		if !samePublish(all[i], got[i]) {
			t.Errorf("%+v\nread as %+v", all[i], got[i])
		}
	}
}

func TestPublishProtoCountsMessages(t *testing.T) {
	for n, want := range map[int]string{0: "the request has no messages: send 1 to 1000", 1000: "",
		1001: "the request has over 1000 messages, each user counted: send 1 to 1000 at once"} {
		for _, users := range []bool{false, true} {
			in := new(ramenpb.PublishRequest)
			if users && n > 0 {
				in.Messages = []*ramenpb.Publish{{Users: make([]string, n)}}
			} else {
				for range n {
					in.Messages = append(in.Messages, &ramenpb.Publish{User: "u"})
				}
			}
			b, _ := proto.Marshal(in)
			_, err := DecodePublishProto(nil, b, limits())
			if e, ok := err.(*Error); want == "" && err != nil || want != "" && (!ok || e.Message != want) {
				t.Errorf("%d messages, users %v: %v", n, users, err)
			}
		}
	}
}

func TestPublishResponseProtoIsWhatGeneratedCodeReads(t *testing.T) {
	all := []PublishResult{{ID: "a", Status: PublishAccepted, Devices: 300}, {Status: PublishRejected, Err: &Error{Code: CodeTooLarge, Message: "x"}},
		{ID: "bad\xff", Status: PublishRejected, Err: &Error{}}}
	var got ramenpb.PublishResponse
	if err := proto.Unmarshal(AppendPublishResultsProto(nil, all), &got); err != nil {
		t.Fatal(err)
	}
	want := &ramenpb.PublishResponse{Results: []*ramenpb.PublishResult{
		{Id: "a", Status: ramenpb.PublishResult_ACCEPTED, Devices: 300},
		{Status: ramenpb.PublishResult_REJECTED, Error: &ramenpb.Error{Code: "too_large", Message: "x"}},
		{Id: "bad\uFFFD", Status: ramenpb.PublishResult_REJECTED, Error: &ramenpb.Error{}},
	}}
	if !proto.Equal(&got, want) {
		t.Fatalf("got %v\nwant %v", &got, want)
	}
}

func FuzzDecodePublishJSON(f *testing.F) {
	for _, s := range []string{`{"user":"u","payload":{ "a":1}}`, `{"messages":[{"users":["a","b"],"payload_b64":"AA==","content_type":"x"}]}`,
		`{"user":"\ud83d\ude00","ttl_ms":1e3}`, `{"where":{"app":"x"},"headers":{"k":"v"}}`, `{"payload":[[[]]],"priority":"low"}`, `{}`, `nul`, "\"\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, batch, err := DecodePublishJSON(nil, body, limits())
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Code != CodeInvalidArgument || e.Message == "" || got != nil {
				t.Fatalf("%q: %v with %d messages", body, err, len(got))
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is read, and is not JSON", body)
		}
		if len(got) == 0 || !batch && len(got) != 1 {
			t.Fatalf("%q: %d messages, batch %v", body, len(got), batch)
		}
		for i := range got {
			if got[i].Check(limits()) != nil {
				continue
			}
			again, _, err := DecodePublishJSON(nil, AppendPublishJSON(nil, &got[i]), limits())
			if err != nil || again[0].Check(limits()) != nil || !samePublish(got[i], again[0]) {
				t.Fatalf("%q: written and read again, %+v is %+v %v", body, got[i], again, err)
			}
		}
	})
}

func FuzzDecodePublishProto(f *testing.F) {
	all := samples()
	for i := range all {
		b, _ := proto.Marshal(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{publishToProto(&all[i])}})
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := DecodePublishProto(nil, b, limits())
		if err != nil {
			if e, ok := err.(*Error); !ok || e.Code != CodeInvalidArgument || got != nil {
				t.Fatalf("%x: %v", b, err)
			}
			return
		}
		var want ramenpb.PublishRequest
		if proto.Unmarshal(b, &want) != nil {
			return // text that is no UTF-8, which Check refuses, or what generated code is stricter about
		}
		if len(want.Messages) != len(got) {
			t.Fatalf("%x: %d messages, generated code reads %d", b, len(got), len(want.Messages))
		}
		for i, m := range want.Messages {
			if !samePublish(publishFromProto(m), got[i]) {
				t.Fatalf("%x: read as %+v, by generated code as %v", b, got[i], m)
			}
		}
	})
}
