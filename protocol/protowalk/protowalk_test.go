package protowalk

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"ramen/protocol/ramenpb"
)

// FuzzWalk holds the walk against proto.Unmarshal: into a message without fields, which takes all that the wire format allows and keeps
// it as it came.
func FuzzWalk(f *testing.F) {
	request, err := proto.Marshal(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u", Payload: []byte("{}"), TtlMs: 1000, Headers: map[string]string{"k": "v"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request)
	f.Add([]byte{0x08, 0xff})                                     // a varint that is cut off
	f.Add([]byte{0x0b, 0x08, 0x01, 0x0c})                         // a group
	f.Add([]byte{0x0b, 0x14})                                     // a group that ends as another
	f.Add([]byte{0x0c})                                           // an end without a group
	f.Add([]byte{0x00, 0x00})                                     // field 0
	f.Add(protowire.AppendVarint(nil, (1<<29)<<3))                // beyond the largest field
	f.Add([]byte{0x0d, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8}) // fixed32, fixed64
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []byte
		w := Of(b)
		for before := b; w.Next(); before = w.rest {
			all = protowire.AppendTag(all, w.Number, w.Type)
			switch w.Type {
			case protowire.VarintType:
				all = protowire.AppendVarint(all, w.Varint)
			case protowire.BytesType:
				all = protowire.AppendBytes(all, w.Bytes)
			default:
				_, _, tag := protowire.ConsumeTag(before)
				all = append(all, before[tag:len(before)-len(w.rest)]...)
			}
		}
		var empty emptypb.Empty
		err := proto.Unmarshal(b, &empty)
		if w.Bad != (err != nil) {
			t.Fatalf("%x: bad is %v, proto says %v", b, w.Bad, err)
		}
		if err != nil {
			return
		}
		var want, got ramenpb.PublishRequest
		read := proto.UnmarshalOptions{DiscardUnknown: true} // which are kept as they came, and numbers may be written longer than need be
		if read.Unmarshal(b, &want) == nil && (read.Unmarshal(all, &got) != nil || !proto.Equal(&want, &got)) {
			t.Fatalf("%x: the fields put together again are %x", b, all)
		}
	})
}

func BenchmarkWalk(b *testing.B) {
	message, err := proto.Marshal(&ramenpb.Publish{User: "user-123456", Id: "0123456789abcdef01234567", Priority: ramenpb.Priority_PRIORITY_HIGH, Payload: make([]byte, 256), TtlMs: 60000})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for w := Of(message); w.Next(); {
		}
	}
}
