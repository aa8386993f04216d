package publisher

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/loadtest/expect"
)

// What is sent as protobuf, written by hand: PublishRequest, Publish, PublishResponse of SPEC 7.

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

func readResponse(b []byte) ([]result, error) {
	var all []result
	err := walk(b, func(number protowire.Number, _ uint64, one []byte) error {
		if number != 1 {
			return nil
		}
		r, err := readResult(one)
		all = append(all, r)
		return err
	})
	return all, err
}

// The statuses of PublishResult.
const (
	statusAccepted  = 1
	statusDuplicate = 2
)

func readResult(b []byte) (result, error) {
	var status uint64
	var code string
	err := walk(b, func(number protowire.Number, v uint64, text []byte) error {
		switch number {
		case 2:
			status = v
		case 3:
			return walk(text, func(number protowire.Number, _ uint64, text []byte) error {
				if number == 1 {
					code = string(text)
				}
				return nil
			})
		}
		return nil
	})
	if status == statusAccepted || status == statusDuplicate {
		return result{}, err
	}
	if code == "" {
		code = "rejected"
	}
	return result{code}, err
}

func walk(b []byte, each func(protowire.Number, uint64, []byte) error) error {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errResponse
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return errResponse
		}
		var v uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(b[n:])
		case protowire.BytesType:
			text, _ = protowire.ConsumeBytes(b[n:])
		}
		if err := each(number, v, text); err != nil {
			return err
		}
		b = b[n+size:]
	}
	return nil
}
