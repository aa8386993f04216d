package lease

import (
	"time"

	"ramen/protocol"
	"ramen/store"
)

// leader is who has claimed at the highest epoch that is known.
type leader struct {
	owner string // empty: nobody
	epoch protocol.Epoch
	shown time.Time // when the last reading was sent that had a claim of it
	doubt time.Time // when the last reading was sent that could not tell whether it is there
	blind bool      // the last reading did not have all claims
	gone  time.Time // when the first reading was sent since which it was never there; zero: the last one had it
}

// reading is what one reading of the claims has answered, in order of the shards.
type reading struct {
	number int
	sent   time.Time
	claims []store.Claimed
	errs   []error // as Claims answers them
}

// err is why the claim of a shard was not read; nil: it was.
func (r *reading) err(id protocol.ShardID) error {
	if r.errs == nil {
		return nil
	}
	return r.errs[id]
}

// highest is who has the highest epoch, by the claims that were read and those that self has of each shard, as far as it knows: the reading
// may have been sent before, or the store may have lost them. Of two the one that has it of the lowest shard.
func (r *reading) highest(own []protocol.Epoch, self string) (owner string, epoch protocol.Epoch) {
	for i := range r.claims {
		if c := &r.claims[i]; r.err(protocol.ShardID(i)) == nil && c.Epoch > epoch {
			owner, epoch = c.Owner, c.Epoch
		}
		if own[i] > epoch {
			owner, epoch = self, own[i]
		}
	}
	return owner, epoch
}

// present is whether owner is there, by the claims of it that were read.
func (r *reading) present(owner string) (shown, present, unread bool) {
	for i := range r.claims {
		if c := &r.claims[i]; r.err(protocol.ShardID(i)) == nil && c.Owner == owner {
			shown, present, unread = true, present || c.Present, unread || c.PresenceUnread
		}
	}
	return shown, present, unread
}

// follow notes who leads by a reading, which has no claim of unread shards. Another process that led is remembered for the time of a lease after
// its claims were read last: those with its epoch may be in a part of the store that cannot be read, or lost and about to be claimed again.
func (v *leader) follow(r *reading, unread int, own []protocol.Epoch, self string) {
	owner, epoch := r.highest(own, self)
	remembered := v.owner != "" && v.owner != self && epoch < v.epoch && r.sent.Sub(v.shown) < length
	if unread < len(r.claims) && !remembered && (owner != v.owner || epoch != v.epoch) {
		if owner != v.owner {
			v.doubt = time.Time{}
			if v.blind { // it may have led before, and could not say that it is there
				v.doubt = r.sent
			}
		}
		v.owner, v.epoch, v.shown, v.gone = owner, epoch, r.sent, time.Time{}
	}
	shown, _, unsaid := r.present(v.owner)
	if shown {
		v.shown = r.sent
	}
	if !shown || unsaid {
		v.doubt = r.sent
	}
	v.blind = unread > 0
	if v.isThere(r) {
		v.gone = time.Time{}
	} else if v.gone.IsZero() {
		v.gone = r.sent
	}
}

// isThere reports whether the leader is to be taken for present.
func (v *leader) isThere(r *reading) bool {
	shown, present, _ := r.present(v.owner)
	return !shown || present || !v.doubt.IsZero() && r.sent.Sub(v.doubt) < length
}
