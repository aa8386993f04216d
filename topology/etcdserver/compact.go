package etcdserver

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The bounds of the data. A registry is a few keys, each written again and again: what it takes is their history. etcd drops that every 5 min, and
// refuses all writes for good once it takes more than the quota. A view of 65,536 shards has 0.4 MB, and while shards move there are ten of them a
// second: so the leader looks more often.
const (
	quotaBytes     = 2 << 30
	compactAbove   = 64 << 20 // bytes in use
	compactKeeps   = 100      // revisions: whoever watches from an earlier one reads all again
	compactEvery   = 5 * time.Second
	compactTimeout = 5 * time.Second
)

// compact has the history be dropped where it takes much, until Close. Space that is free is used again: nothing is to be defragmented.
func (s *Server) compact(above int64) {
	defer close(s.compacted)
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	last := int64(0)
	for {
		select {
		case <-s.closing:
			return
		case <-tick.C:
		}
		last = s.compactOnce(above, last)
	}
}

// compactOnce drops the history up to a revision, which it answers; last where there is nothing to be dropped.
func (s *Server) compactOnce(above, last int64) int64 {
	e := s.e.Server
	select {
	case <-s.Ready():
	default:
		return last
	}
	rev := e.KV().Rev() - compactKeeps
	if e.Leader() != e.MemberID() || rev <= last || e.Backend().SizeInUse() < above {
		return last
	}
	ctx, cancel := context.WithTimeout(context.Background(), compactTimeout)
	defer cancel()
	if _, err := e.Compact(ctx, &pb.CompactionRequest{Revision: rev, Physical: true}); err != nil {
		return last // again, or it has been compacted beyond
	}
	return rev
}
