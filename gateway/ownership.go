package gateway

import (
	"sync/atomic"

	"ramen/gateway/mailbox"
	"ramen/link"
)

// ownership is one time in which a shard is owned, at one epoch.
type ownership struct {
	mailbox.Scope
	g     *Gateway
	shard *shard
	over  atomic.Bool // the shard was given up: nothing in its mailboxes changes any more
}

// errMoved is the answer to who comes to a mailbox whose shard was given up.
var errMoved = link.ErrNotOwner
