package gateway

import "ramen/store"

// keptStep is the most entries that a write that is kept has, and keptSteps how many steps are kept a job: a burst must not hold
// memory for ever.
const (
	keptStep  = 128
	keptSteps = 128
)

// spares is what a job keeps for its next.
type spares struct {
	steps []*step
	calls []*appendCall
}

func (x *spares) step() *step {
	if n := len(x.steps); n > 0 {
		s := x.steps[n-1]
		x.steps = x.steps[:n-1]
		return s
	}
	return new(step)
}

func (x *spares) putStep(s *step) {
	keep := s.Reset()
	if cap(s.waiting)+cap(s.asked) > keptStep {
		keep = false
	}
	clear(s.asked)
	*s = step{Step: s.Step, asked: s.asked[:0], waiting: s.waiting[:0]}
	if keep && len(x.steps) < keptSteps {
		x.steps = append(x.steps, s)
	}
}

func (x *spares) call(j *job) *appendCall {
	if n := len(x.calls); n > 0 {
		a := x.calls[n-1]
		x.calls = x.calls[:n-1]
		return a
	}
	a := &appendCall{job: j}
	a.answer = a.answered
	return a
}

// putCall keeps a call's slices for the next, unless the store may not be done with them.
func (x *spares) putCall(a *appendCall) {
	if a.unknown || len(a.batch) > keptOps {
		return
	}
	clear(a.steps)
	for i := range a.steps {
		w := &a.batch[i]
		if max(cap(w.Entries), cap(w.Kills)) > keptStep {
			*w = store.Append{}
			continue
		}
		clear(w.Entries)
		clear(w.Kills)
		*w = store.Append{Entries: w.Entries[:0], Kills: w.Kills[:0]}
	}
	*a = appendCall{job: a.job, answer: a.answer, batch: a.batch, steps: a.steps[:0]}
	x.calls = append(x.calls, a)
}
