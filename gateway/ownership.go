package gateway

import (
	"sync/atomic"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
)

// ownership is one time in which a shard is owned, at one epoch.
type ownership struct {
	mailbox.Scope
	g     *Gateway
	shard *shard
	over  atomic.Bool // the shard was given up: nothing in its mailboxes changes any more

	reason protocol.Reason // why it is over; set before that
}

// loss is what streams are told whose shard was given up.
func (o *ownership) loss() link.Loss {
	return link.Loss{Reason: o.reason, Below: o.Owner.Epoch + 1}
}

// end says that nothing in the mailboxes changes any more, for the first reason that comes.
func (o *ownership) end(reason protocol.Reason) {
	if !o.over.Load() {
		o.reason = reason
		o.over.Store(true)
	}
}

// errMoved is the answer to who comes to a mailbox whose shard was given up.
var errMoved = link.ErrNotOwner
