package observe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ramen/loadtest/ledger/judge"
)

// publisher publishes batches, and tries again, under the same ids, what was not answered; but for some, which stay unknown.
type publisher struct {
	clients *Clients
	index   int
	rng     *rand.Rand
	calls   *calls

	number   int
	messages []*judge.Message
	recent   []*judge.Message // accepted in the last minute or so, oldest first
}

const (
	mostInBatch = 40
	pipelined   = 6                     // requests of a PublishStream sent ahead of their answers
	recentFor   = time.Minute           // far below the 5 minutes for which ids are remembered
	retryPause  = 15 * time.Millisecond // before the first attempt again; each further pause is twice as long
	mostPause   = 8 * retryPause        // or the pause between two batches, where that is longer

	mostRefusals = 200 // of one message
)

// item is one message of a request: to one user, or the same to several.
type item []*judge.Message

// work publishes until ctx ends, and then until all of it is answered.
func (p *publisher) work(ctx, life context.Context) {
	for ctx.Err() == nil {
		switch p.index % 4 {
		case 0:
			p.insist(life, p.batch(mostInBatch), p.calls.post)
		case 1:
			p.insist(life, p.batch(mostInBatch), p.calls.publish)
		case 2:
			p.pipeline(ctx, life)
		case 3:
			p.insist(life, p.batch(1), p.calls.postOne)
		}
		p.recall(life)
		pause := p.clients.cfg.Pause
		if p.index%4 == 3 {
			pause /= 8
		}
		sleep(life, pause)
	}
}

// batch makes items for several users, some of them known already.
func (p *publisher) batch(most int) []item {
	batch := make([]item, 0, most+2)
	for range 1 + p.rng.IntN(most) {
		p.number++
		id := fmt.Sprintf("p%d-%d", p.index, p.number)
		m := p.clients.message(p.rng, p.clients.drawUser(p.rng), id)
		m.Chain, m.Nth = p.index+1, p.number
		it := item{m}
		if p.rng.IntN(40) == 0 && m.Target.Device == "" && most > 1 {
			for range 1 + p.rng.IntN(4) {
				o := *m
				o.User = p.clients.userName(p.clients.drawUser(p.rng))
				if !slices.ContainsFunc(it, func(x *judge.Message) bool { return x.User == o.User }) {
					it = append(it, &o)
				}
			}
		}
		p.messages = append(p.messages, it...)
		p.clients.tampering.consider(it)
		batch = append(batch, it)
	}
	if most > 1 && p.rng.IntN(5) == 0 { // it must be answered duplicate
		batch = append(batch, batch[p.rng.IntN(len(batch))])
	}
	if m := p.pick(); m != nil && most > 1 && p.rng.IntN(5) == 0 {
		batch = append(batch, item{m})
	}
	return batch
}

// pick is a message that was accepted not long ago.
func (p *publisher) pick() *judge.Message {
	old := p.clients.cfg.Clock.Now() - recentFor
	i := 0
	for i < len(p.recent) && p.recent[i].Attempts[0].Sent < old {
		i++
	}
	p.recent = p.recent[i:]
	if len(p.recent) == 0 {
		return nil
	}
	m := p.recent[p.rng.IntN(len(p.recent))]
	if p.clients.asleep(m.User) {
		return nil
	}
	return m
}

// insist publishes a batch until every message of it is answered.
func (p *publisher) insist(ctx context.Context, batch []item, try func(context.Context, Addresses, []item) []judge.Status) {
	for pause := retryPause; len(batch) > 0; pause = min(2*pause, max(mostPause, p.clients.cfg.Pause)) {
		at, up := p.clients.servers.AwaitUp(ctx)
		if !up {
			return
		}
		sent := p.clients.cfg.Clock.Now()
		batch = p.note(batch, sent, try(ctx, at, batch))
		if len(batch) > 0 {
			sleep(ctx, pause)
		}
	}
}

// note writes down what came of a batch and returns what is to be tried again. statuses are one a message and user; those that are
// not there are unknown.
func (p *publisher) note(batch []item, sent judge.Moment, statuses []judge.Status) []item {
	answered := p.clients.cfg.Clock.Now()
	var again []item
	at := 0
	for _, it := range batch {
		retry := false
		for _, m := range it {
			a := judge.Attempt{Sent: sent, Ended: answered, Over: over[p.index%4]}
			if at < len(statuses) {
				a.Status = statuses[at]
			}
			at++
			switch a.Status {
			case judge.Unknown:
				retry = retry || len(m.Attempts) > 0 || p.rng.IntN(30) > 0
			case judge.Refused:
				a.Answered, retry = answered, retry || len(m.Attempts) < mostRefusals
			default:
				a.Answered = answered
				p.accepted(m)
			}
			m.Attempts = append(m.Attempts, a)
		}
		if retry {
			again = append(again, it)
		}
	}
	return again
}

// accepted remembers some messages for later.
func (p *publisher) accepted(m *judge.Message) {
	if p.rng.IntN(10) == 0 && !p.clients.tampering.drops(m.User, m.ID) { // a recall would excuse it
		p.recent = append(p.recent, m)
	}
	p.clients.accepted.Add(1)
}

// recall recalls a message now and then: of the latest, so that it still waits somewhere.
func (p *publisher) recall(ctx context.Context) {
	if len(p.recent) == 0 || p.rng.IntN(3) > 0 {
		return
	}
	at, up := p.clients.servers.AwaitUp(ctx)
	if !up {
		return
	}
	from := max(0, len(p.recent)-4)
	m := p.recent[from+p.rng.IntN(len(p.recent)-from)]
	if p.clients.asleep(m.User) {
		return
	}
	r := judge.Recall{Sent: p.clients.cfg.Clock.Now()}
	recalled, known := p.calls.recall(ctx, at, m, p.rng.IntN(2) == 0)
	if known {
		r.Answered, r.Confirmed, r.Denied = p.clients.cfg.Clock.Now(), recalled, !recalled
	}
	m.Recalls = append(m.Recalls, r)
}

// pipeline publishes over one PublishStream until it breaks or ctx ends, and then insists on what it left open.
func (p *publisher) pipeline(ctx, life context.Context) {
	at, up := p.clients.servers.AwaitUp(life)
	if !up {
		return
	}
	stream, done, err := p.calls.stream(life, at)
	if err != nil {
		sleep(life, retryPause)
		return
	}
	defer done()
	for opened := time.Now(); err == nil && ctx.Err() == nil && time.Since(opened) < streamLife; {
		var batches [][]item
		var sent []judge.Moment
		for range pipelined {
			batches, sent = append(batches, p.batch(mostInBatch)), append(sent, p.clients.cfg.Clock.Now())
			if err == nil {
				err = stream.Send(p.calls.request(batches[len(batches)-1]))
			}
		}
		var open []item
		for i, batch := range batches {
			var statuses []judge.Status
			if err == nil {
				statuses, err = p.calls.receive(stream)
			}
			open = append(open, p.note(batch, sent[i], statuses)...)
		}
		p.insist(life, open, p.calls.post)
		p.recall(life)
		sleep(life, pipelined*p.clients.cfg.Pause)
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
