package route

import (
	"context"
	"sync"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// Publish asks each message's owner to accept it: a result each, in order. Each message has its id already, and keeps it
// through every attempt. It fills in the batch's routes. The errors of results are *protocol.Error.
func (r *Router) Publish(caller context.Context, batch []link.Publish) []link.Result {
	ctx, cancel := context.WithTimeout(caller, r.cfg.Deadline)
	defer cancel()
	p := &publishing{router: r, caller: caller, batch: batch, results: make([]link.Result, len(batch))}
	p.run(ctx, part{batch: batch}, 0)
	return p.results
}

// publishing is one call of Publish under way. Its parts share it, each writing the results of its own messages.
type publishing struct {
	router  *Router
	caller  context.Context
	batch   []link.Publish
	results []link.Result
}

// part is messages that wait for an answer. All of one user's are in the same.
type part struct {
	batch []link.Publish
	at    []int  // where they stand in the whole batch, rising; nil: they are all of it
	lost  []bool // of which an answer was lost before; nil: of none
}

func (p part) place(i int) int {
	if p.at == nil {
		return i
	}
	return p.at[i]
}

func (p part) wasLost(i int) bool { return p.lost != nil && p.lost[i] }

// add takes in message i of o.
func (p *part) add(o part, i int, lost bool) {
	p.batch = append(p.batch, o.batch[i])
	p.at = append(p.at, o.place(i))
	p.lost = append(p.lost, lost)
}

// run asks until every message of the part has its result. Where the part has several owners, each owner's messages go
// their own way from there: the first in this goroutine, a goroutine for each other.
func (p *publishing) run(ctx context.Context, all part, attempt int) {
	for len(all.batch) > 0 {
		now := p.router.ownership()
		first, rest := p.split(now, all)
		var others sync.WaitGroup
		for _, o := range rest {
			others.Go(func() {
				if again := p.ask(ctx, now, o, attempt); len(again.batch) > 0 {
					p.run(ctx, again, attempt+1)
				}
			})
		}
		all = p.ask(ctx, now, first, attempt)
		if len(rest) > 0 {
			p.run(ctx, all, attempt+1)
			others.Wait()
			return
		}
		attempt++
	}
}

// split fills in the routes of a part, and divides it by owner.
func (p *publishing) split(now ownership, all part) (first part, rest []part) {
	one, to := true, topology.MemberID("")
	for i := range all.batch {
		shard, owner := now.view.Owner(all.batch[i].User)
		all.batch[i].Route = link.Route{Shard: shard, Epoch: owner.Epoch}
		member := now.of(shard)
		if i == 0 {
			to = member
		}
		one = one && member == to
	}
	if one {
		return all, nil
	}
	var split []part
	of := make(map[topology.MemberID]int)
	for i := range all.batch {
		member := now.of(all.batch[i].Shard)
		n, ok := of[member]
		if !ok {
			n, of[member] = len(split), len(split)
			split = append(split, part{})
		}
		split[n].add(all, i, all.wasLost(i))
	}
	return split[0], split[1:]
}

// ask makes one attempt for a part with one owner, writes the results that it brought, and answers what is to be asked
// again, the wait for it being over; nothing where there is no time left.
func (p *publishing) ask(ctx context.Context, now ownership, o part, attempt int) part {
	results := p.call(ctx, now, o)
	var again part
	for i := range o.batch {
		result := link.Result{Status: link.StatusRejected, Err: errShort}
		if i < len(results) {
			result = results[i]
		}
		if result.Status == link.StatusRejected {
			if why := causeOf(result.Err); why != causeNone {
				p.router.floors.learn(o.batch[i].Shard, result.Err)
				again.add(o, i, why == causeLost || o.wasLost(i))
				p.router.metrics.retries[why].Inc()
				continue
			}
			result.Err = p.resultError(result.Err)
		}
		// A duplicate stays one where an attempt's answer was lost: whether that attempt has stored it, or somebody before, is not known. SPEC 9.2.1.
		p.results[o.place(i)] = result
	}
	if len(again.batch) == 0 || p.router.wait(ctx, now.view, attempt, again.news) {
		return again
	}
	p.giveUp(again)
	return part{}
}

// call makes the one call of an attempt.
func (p *publishing) call(ctx context.Context, now ownership, o part) []link.Result {
	if g, ok := p.router.dial(now, o.batch[0].Shard); ok {
		return g.Publish(ctx, o.batch)
	}
	results := make([]link.Result, len(o.batch))
	for i := range results {
		results[i] = link.Result{Status: link.StatusRejected, Err: errNoOwner}
	}
	return results
}

// news reports whether there is news of any of the part's shards.
func (p part) news(newer ownership, failed *topology.View) bool {
	for i := range p.batch {
		if newer.news(failed, p.batch[i].Shard) {
			return true
		}
	}
	return false
}

// giveUp answers for messages whose time is up.
func (p *publishing) giveUp(o part) {
	for i := range o.batch {
		why := causeNoOwner
		if o.wasLost(i) {
			why = causeLost
		}
		p.results[o.place(i)] = link.Result{Status: link.StatusRejected, Err: gaveUp(o.batch[i].Shard, why)}
		p.router.metrics.gaveUp.Inc()
	}
}

// resultError is the error of a rejected message as it may leave the router.
func (p *publishing) resultError(err error) error {
	left := leaving(p.caller, err)
	if _, ok := left.(*protocol.Error); ok {
		return left
	}
	return errUnanswered() // the publisher itself has gone away
}
