package protocol

import (
	"unicode/utf8"

	"ramen/protocol/protowalk"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoFields calls field for each field of the message in b, in order. Decoders are as strict as proto.Unmarshal, and
// stricter in one thing: a field that they know must have its type. Unknown fields are ignored; fields that stand twice
// are merged as protobuf has it. Errors are *FrameError.
func protoFields(what string, b []byte, field func(protoField) error) error {
	w := protowalk.Of(b)
	for w.Next() {
		if err := field(protoField{w.Number, w.Type, w.Varint, w.Bytes, what}); err != nil {
			return err
		}
	}
	switch {
	case !w.Bad:
		return nil
	case w.Number == 0:
		return frameErrorf("%s is not protobuf: a field's tag is malformed", what)
	}
	return frameErrorf("%s is not protobuf: field %d is malformed or cut off", what, w.Number)
}

// protoField is one field, whose value is well formed for its kind.
type protoField struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	value  []byte
	of     string // the message
}

func (f protoField) uint(v *uint64) error {
	if f.kind != protowire.VarintType {
		return f.wrongType("a varint")
	}
	*v = f.varint
	return nil
}

func (f protoField) uint32(v *uint32) error {
	var wide uint64
	err := f.uint(&wide)
	*v = uint32(wide) // the low bits, as every protobuf decoder has it
	return err
}

func (f protoField) int64(v *int64) error {
	var wide uint64
	err := f.uint(&wide)
	*v = int64(wide)
	return err
}

func (f protoField) bool(v *bool) error {
	var wide uint64
	err := f.uint(&wide)
	*v = protowire.DecodeBool(wide)
	return err
}

// bytes answers a part of the frame.
func (f protoField) bytes(v *[]byte) error {
	if f.kind != protowire.BytesType {
		return f.wrongType("length-delimited")
	}
	*v = f.value
	return nil
}

func (f protoField) string(v *string) error {
	var b []byte
	if err := f.bytes(&b); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return frameErrorf("field %d of %s is a string that is not UTF-8", f.number, f.of)
	}
	*v = string(b)
	return nil
}

// message reads the fields of a message within.
func (f protoField) message(what string, field func(protoField) error) error {
	var b []byte
	if err := f.bytes(&b); err != nil {
		return err
	}
	return protoFields(what, b, field)
}

// entry reads one entry of a map into *m, which it makes.
func (f protoField) entry(m *map[string]string) error {
	var key, value string
	err := f.message("a map's entry", func(e protoField) error {
		switch e.number {
		case entryKey:
			return e.string(&key)
		case entryValue:
			return e.string(&value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[key] = value
	return nil
}

func (f protoField) wrongType(want string) error {
	return frameErrorf("field %d of %s has wire type %d: it must be %s", f.number, f.of, f.kind, want)
}
