package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"ramen/internal/tool/errlist"
	"ramen/protocol"
)

// tell says what is not served, and why.
func (l *Lease) tell() {
	served := l.served()
	wanted, missing := 0, 0
	for _, id := range l.all {
		if l.wants(id) {
			wanted++
			if !served[id] {
				missing++
			}
		}
	}
	if missing == 0 {
		l.failed = nil
		l.say(nil, nil)
		return
	}
	why := fmt.Errorf("lease: %d of %d shards are not served: %w", missing, wanted, l.reasons(served))
	if missing == wanted {
		l.say(why, nil)
		return
	}
	l.say(nil, why)
}

// reasons is why shards are not served.
func (l *Lease) reasons(served []bool) error {
	var unread []error
	waiting, from, epoch := 0, time.Time{}, protocol.Epoch(0)
	for i := range l.shards {
		s := &l.shards[i]
		switch {
		case served[i], !l.wants(protocol.ShardID(i)):
		case s.unread != nil:
			unread = append(unread, s.unread)
		case s.taking.claimed != 0:
			waiting++
			if s.taking.from.After(from) {
				from, epoch = s.taking.from, s.taking.claimed
			}
		}
	}
	var list reasons
	if len(unread) > 0 {
		list = append(list, fmt.Errorf("%d because the process cannot read the store's claims: %w", len(unread), errlist.Of(unread)))
	}
	if waiting > 0 {
		list = append(list, fmt.Errorf("%d are claimed at epoch %d, and whoever had them may act until %s", waiting, epoch, from.UTC().Format(time.RFC3339Nano)))
	}
	if l.cfg.Share != nil {
		if err := l.heldByOthers(served); err != nil {
			list = append(list, err)
		}
	}
	if l.failed != nil {
		list = append(list, l.failed)
	}
	if len(list) == 0 {
		return errClaiming
	}
	return list
}

var errClaiming = errors.New("they are being claimed")

// level is that of shards that are not served: of a share some are on their way whenever the list changes.
func (l *Lease) level() slog.Level {
	if l.cfg.Share != nil {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// text is what is said of a process that is to own all shards, or a share of them.
func (l *Lease) text(ofAll, ofShare string) string {
	if l.cfg.Share != nil {
		return ofShare
	}
	return ofAll
}

// reasons are several, told in one line.
type reasons []error

func (r reasons) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (r reasons) Unwrap() []error { return r }

// say notes why nothing is served, or why something is not, and has the log know where that has changed.
func (l *Lease) say(why, partial error) {
	l.mu.Lock()
	before, now := errors.Join(l.why, l.partial), errors.Join(why, partial)
	l.why, l.partial = why, partial
	l.mu.Unlock()
	switch {
	case now == nil && before != nil:
		l.cfg.Log.Info(l.text("this process owns all shards of the store", "this process serves its shards of the store"), "owner", l.cfg.Owner)
	case now != nil && errors.Is(now, errClaiming): // it is told what becomes of it
	case why != nil && (before == nil || before.Error() != now.Error()):
		l.cfg.Log.Log(context.Background(), l.level(), l.text("this process does not own the shards of the store", "this process serves none of its shards of the store"), "why", why)
	case partial != nil && (before == nil || before.Error() != now.Error()):
		l.cfg.Log.Log(context.Background(), l.level(), "this process does not own some shards of the store", "why", partial)
	}
}
