package pebble

import (
	"encoding/binary"
	"errors"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// A row of ids has those of one user that were accepted in one segment of the journal: length, id, accepted ms:8, again and again.

func appendID(b, id []byte, acceptedMS int64) []byte {
	return binary.BigEndian.AppendUint64(codec.AppendString(b, id), uint64(acceptedMS))
}

var errIDs = errors.New("list of ids ends early")

// readIDs adds the ids in list that were accepted from sinceMS on to seen. Nothing of the answer shares memory with list.
func readIDs(list []byte, sinceMS int64, seen []store.Seen) ([]store.Seen, error) {
	r := newOpReader(list)
	for len(r.b) > 0 {
		id, ms := r.bytes(), int64(r.uint64())
		if r.err != nil {
			return seen, errIDs
		}
		if ms >= sinceMS {
			seen = append(seen, store.Seen{ID: protocol.MessageID(id), AcceptedMS: ms})
		}
	}
	return seen, nil
}
