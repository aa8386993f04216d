package observe

import (
	"context"
	"sync"
	"sync/atomic"
)

// sleeper reports whether a user is one of those that Sleep is about: one in four.
func sleeper(user int) bool { return user%4 == 1 }

// idle has sleepers be awake, or not.
type idle struct {
	awake atomic.Bool // their devices have streams
	quiet atomic.Bool // they get no new messages

	mu      sync.Mutex
	changed chan struct{} // guarded by mu: closed and replaced with each change
}

// wake sets whether sleepers have streams, and get no new messages.
func (i *idle) wake(awake, quiet bool) {
	i.quiet.Store(quiet)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.changed != nil {
		close(i.changed)
	}
	i.changed = make(chan struct{})
	i.awake.Store(awake)
}

func (i *idle) state() (awake bool, changed <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.awake.Load(), i.changed
}

// asleep reports whether nothing is to be done for a user now.
func (c *Clients) asleep(user string) bool {
	if !c.idle.quiet.Load() {
		return false
	}
	for u := range c.cfg.Users {
		if sleeper(u) && c.userName(u) == user {
			return true
		}
	}
	return false
}

// Sleep has one user in four have neither streams nor new messages until Wake, so that their mailboxes leave memory. Only Drain gives
// them what waits.
func (c *Clients) Sleep() { c.idle.wake(false, true) }

// Depart has one user in four have no streams until Wake, while messages for them go on to come, and wait.
func (c *Clients) Depart() { c.idle.wake(false, false) }

// Wake ends Sleep and Depart.
func (c *Clients) Wake() { c.idle.wake(true, false) }

// workAwake works until ctx ends or sleepers are not awake; where they are not, it waits until they are.
func (d *device) workAwake(ctx context.Context) {
	awake, changed := d.clients.idle.state()
	if !awake {
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return
	}
	working, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	defer func() { cancel(); <-over }()
	go func() {
		defer close(over)
		select {
		case <-changed:
		case <-working.Done():
		}
		cancel()
	}()
	for working.Err() == nil {
		d.workOnce(working)
	}
	d.dropGhost()
}
