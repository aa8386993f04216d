package backend

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // servers accept gzip, SPEC 7
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"ramen/protocol"
)

// codec reads and writes publishes by hand, without reflection and without a copy in generated types, and leaves every
// other message to grpc's own. On the wire there is no difference.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// publishRequest is a PublishRequest, decoded and checked while its bytes are there.
type publishRequest struct {
	server *Server
	batch  *batch
	err    *protocol.Error
}

// publishResponse is a PublishResponse.
type publishResponse struct{ results []protocol.PublishResult }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*publishRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	r.batch, r.err = r.server.prepareProto(buf.ReadOnlyData())
	return nil // what is wrong is said by the call, which knows the right status
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*listAnswer); ok {
		return mem.BufferSlice{a.buffer()}, nil
	}
	r, ok := v.(*publishResponse)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	most := 0
	for i := range r.results {
		most += responseOverhead + len(r.results[i].ID)
		if e := r.results[i].Err; e != nil {
			most += responseOverhead + len(e.Code) + 3*len(e.Message) // three: bytes that are no UTF-8 become U+FFFD
		}
	}
	pool := mem.DefaultBufferPool()
	room := pool.Get(most)
	*room = protocol.AppendPublishResultsProto((*room)[:0], r.results)
	return mem.BufferSlice{mem.NewBuffer(room, pool)}, nil
}

// responseOverhead is more than the tags, lengths and numbers of a result or an error take, in bytes.
const responseOverhead = 32

// heldRequest and heldEach are what a request and each of its messages (users counted one by one) hold beside their bytes, roughly:
// of small ones that wait in a PublishStream it is nearly all.
const (
	heldRequest = 256
	heldEach    = 512
)

// prepareProto decodes and checks the bytes of a PublishRequest.
func (s *Server) prepareProto(b []byte) (*batch, *protocol.Error) {
	room := s.borrow()
	messages, err := protocol.DecodePublishProto((*room)[:0], b, &s.cfg.Publish)
	if err != nil {
		return nil, asError(err)
	}
	prepared := s.prepare(messages)
	prepared.bytes = min(int64(len(b))+heldRequest+heldEach*int64(len(prepared.results)), int64(s.cfg.Publish.MaxBody)) // one always has room
	s.back(room, messages)
	return prepared, nil
}
