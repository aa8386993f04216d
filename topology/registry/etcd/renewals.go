package etcd

import (
	"context"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// renewals is one stream for renewals, kept from one to the next. Where there is a user and password the client authenticates with each
// stream that it opens: a write of etcd's log, and a hash that takes some 50 ms of its CPU.
type renewals struct {
	c    *clientv3.Client
	turn chan struct{} // of capacity 1: taken by whoever uses the stream

	// owned by whoever has the turn
	stream pb.Lease_LeaseKeepAliveClient // nil: none
	end    context.CancelFunc            // of stream
}

func newRenewals(c *clientv3.Client) *renewals { return &renewals{c: c, turn: make(chan struct{}, 1)} }

// renew renews a lease, and answers for how many seconds it lasts; 0: it has ended.
func (r *renewals) renew(ctx context.Context, l clientv3.LeaseID) (int64, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	kept := r.stream != nil
	ttl, err := r.ask(ctx, l)
	if err != nil && kept && ctx.Err() == nil { // it may have ended since the last renewal
		ttl, err = r.ask(ctx, l)
	}
	return ttl, err
}

// ask asks once. A stream that fails is opened anew the next time, so that no answer is taken for that of another question.
func (r *renewals) ask(ctx context.Context, l clientv3.LeaseID) (ttl int64, err error) {
	if r.stream == nil {
		run, end := context.WithCancel(r.c.Ctx())
		r.end = end
		stop := context.AfterFunc(ctx, end)
		r.stream, err = pb.NewLeaseClient(r.c.ActiveConnection()).LeaseKeepAlive(run)
		stop()
		if err != nil {
			return 0, r.drop(ctx, err)
		}
	}
	stop := context.AfterFunc(ctx, r.end)
	defer stop()
	if err := r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(l)}); err != nil {
		return 0, r.drop(ctx, err)
	}
	a, err := r.stream.Recv()
	if err != nil {
		return 0, r.drop(ctx, err)
	}
	return a.TTL, nil
}

// drop ends the stream because of err.
func (r *renewals) drop(ctx context.Context, err error) error {
	r.end()
	r.stream = nil
	return clientv3.ContextError(ctx, err)
}
