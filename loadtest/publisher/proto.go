package publisher

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/loadtest/expect"
	"ramen/protocol/protowalk"
)

// What is sent as protobuf, written by hand: PublishRequest, Publish, PublishResponse of SPEC 7.1.

func request(cfg *Config, batch *batch) []byte {
	b := make([]byte, 0, len(batch.names)*(cfg.Payload+96))
	text := cfg.filling
	var one, room []byte
	for i, m := range batch.names {
		one = one[:0]
		one = field(one, 1, []byte(expect.UserName(cfg.Expected.Run, m.User)))
		room = expect.AppendID(room[:0], cfg.Expected.Run, m)
		one = field(one, 3, room)
		one = field(one, 4, []byte("load"))
		one = protowire.AppendVarint(protowire.AppendTag(one, 5, protowire.VarintType), uint64(m.Lane)+1)
		room = appendPayload(room[:0], batch.due[i], text)
		one = field(one, 6, room)
		if cfg.TTL > 0 {
			one = protowire.AppendVarint(protowire.AppendTag(one, 8, protowire.VarintType), uint64(cfg.TTL.Milliseconds()))
		}
		b = field(b, 1, one)
	}
	return b
}

func field(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

var errResponse = errors.New("publisher: the answer to a publish is malformed")

// The fields of PublishResponse, PublishResult and Error. SPEC 7.1.
const (
	responseResults = 1
	resultStatus    = 2
	resultError     = 3
	errorCode       = 1
)

func readResponse(b []byte) ([]result, error) {
	var all []result
	w := protowalk.Of(b)
	for w.Next() {
		if w.Number != responseResults {
			continue
		}
		r, ok := readResult(w.Bytes)
		if !ok {
			return all, errResponse
		}
		all = append(all, r)
	}
	if w.Bad {
		return all, errResponse
	}
	return all, nil
}

// The statuses of PublishResult.
const (
	statusAccepted  = 1
	statusDuplicate = 2
)

// readResult reads a PublishResult. False: it is malformed.
func readResult(b []byte) (_ result, ok bool) {
	var status uint64
	var code string
	w := protowalk.Of(b)
	for w.Next() {
		switch w.Number {
		case resultStatus:
			status = w.Varint
		case resultError:
			if code, ok = readCode(w.Bytes); !ok {
				return result{}, false
			}
		}
	}
	switch {
	case w.Bad:
		return result{}, false
	case status == statusAccepted || status == statusDuplicate:
		return result{}, true
	case code == "":
		code = "rejected"
	}
	return result{code}, true
}

// readCode reads the code of an Error. False: it is malformed.
func readCode(b []byte) (code string, ok bool) {
	w := protowalk.Of(b)
	for w.Next() {
		if w.Number == errorCode {
			code = string(w.Bytes)
		}
	}
	return code, !w.Bad
}
