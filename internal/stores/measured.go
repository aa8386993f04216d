package stores

import (
	"context"
	"fmt"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// measured is a store whose calls are counted. It is an Admitter and a Readier whatever the store is: one that is not takes all, and
// is ready.
type measured struct {
	store.Store
	name string
	m    *metrics
}

// Abilities that decide how a gateway treats a store: what is measured has those that the store has.
type (
	scanned  struct{ *measured }
	shared   struct{ *measured }
	replaced struct{ *measured }
)

var (
	_ store.Admitter      = (*measured)(nil)
	_ store.Readier       = (*measured)(nil)
	_ store.ExpiryScanner = scanned{}
	_ store.Shared        = shared{}
	_ store.Replacer      = replaced{}
)

// measure has the calls of s counted. name is what is said of it where it is not ready.
func measure(s store.Store, name string, counts *metrics) store.Store {
	m := &measured{s, name, counts}
	_, scans := s.(store.ExpiryScanner)
	_, shares := s.(store.Shared)
	_, replaces := s.(store.Replacer)
	type ( // as interfaces, so that each struct has the methods of measured once
		scanner  = store.ExpiryScanner
		sharer   = store.Shared
		replacer = store.Replacer
	)
	switch {
	case scans && shares && replaces:
		return struct {
			*measured
			scanner
			sharer
			replacer
		}{m, scanned{m}, shared{m}, replaced{m}}
	case scans && shares:
		return struct {
			*measured
			scanner
			sharer
		}{m, scanned{m}, shared{m}}
	case scans && replaces:
		return struct {
			*measured
			scanner
			replacer
		}{m, scanned{m}, replaced{m}}
	case shares && replaces:
		return struct {
			*measured
			sharer
			replacer
		}{m, shared{m}, replaced{m}}
	case scans:
		return struct {
			*measured
			scanner
		}{m, scanned{m}}
	case shares:
		return struct {
			*measured
			sharer
		}{m, shared{m}}
	case replaces:
		return struct {
			*measured
			replacer
		}{m, replaced{m}}
	}
	return m
}

// LastEpoch implements store.Store.
func (s *measured) LastEpoch(ctx context.Context) (e protocol.Epoch, err error) {
	began := s.m.begin(callLastEpoch, 1)
	defer func() { s.m.end(callLastEpoch, began, err) }()
	return s.Store.LastEpoch(ctx)
}

// Claim implements store.Store.
func (s *measured) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	began := s.m.begin(callClaim, 1)
	return s.ended(callClaim, began, s.Store.Claim(ctx, shards, epoch, owner))
}

// ended counts a call with an error for each of its parts.
func (s *measured) ended(c call, began time.Time, errs []error) []error {
	s.m.end(c, began, nil)
	for _, err := range errs {
		s.m.failed(c, err)
	}
	return errs
}

// Load implements store.Store.
func (s *measured) Load(ctx context.Context, at store.Owner, user protocol.UserID) (box store.Mailbox, err error) {
	began := s.m.begin(callLoad, 1)
	defer func() { s.m.end(callLoad, began, err) }()
	return s.Store.Load(ctx, at, user)
}

// Append implements store.Store.
func (s *measured) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	began := s.m.begin(callAppend, len(batch))
	s.Store.Append(ctx, batch, func(i int, err error) {
		s.m.end(callAppend, began, err)
		answer(i, err)
	})
}

// SaveDevices implements store.Store.
func (s *measured) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	began := s.m.begin(callSaveDevices, 1)
	return s.ended(callSaveDevices, began, s.Store.SaveDevices(ctx, batch, durable))
}

// Forget implements store.Store.
func (s *measured) Forget(ctx context.Context, batch []store.Forget) []error {
	began := s.m.begin(callForget, 1)
	return s.ended(callForget, began, s.Store.Forget(ctx, batch))
}

// Admit implements store.Admitter.
func (s *measured) Admit(p protocol.Priority) error {
	if a, ok := s.Store.(store.Admitter); ok {
		return a.Admit(p)
	}
	return nil
}

// Ready implements store.Readier: it says which store is not ready.
func (s *measured) Ready() (err error) {
	switch inner := s.Store.(type) {
	case store.Readier:
		err = inner.Ready()
	case store.Admitter:
		err = inner.Admit(protocol.PriorityHigh)
	}
	if err != nil {
		return fmt.Errorf("the store %s is not ready: %w", s.name, err)
	}
	return nil
}

// ScanExpired implements store.ExpiryScanner.
func (s scanned) ScanExpired(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) (users []protocol.UserID, err error) {
	began := s.m.begin(callScanExpired, 1)
	defer func() { s.m.end(callScanExpired, began, err) }()
	return s.Store.(store.ExpiryScanner).ScanExpired(ctx, at, after, beforeMS, unseenMS, limit)
}

// Renew implements store.Shared.
func (s shared) Renew(ctx context.Context, owner string, ttl time.Duration) (err error) {
	began := s.m.begin(callRenew, 1)
	defer func() { s.m.end(callRenew, began, err) }()
	return s.Store.(store.Shared).Renew(ctx, owner, ttl)
}

// Claims implements store.Shared.
func (s shared) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	began := s.m.begin(callClaims, 1)
	claims, errs := s.Store.(store.Shared).Claims(ctx, shards)
	return claims, s.ended(callClaims, began, errs)
}

// Fences implements store.Shared.
func (s shared) Fences() bool { return s.Store.(store.Shared).Fences() }

// Replace implements store.Replacer.
func (s replaced) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) (err error) {
	began := s.m.begin(callReplace, 1)
	defer func() { s.m.end(callReplace, began, err) }()
	return s.Store.(store.Replacer).Replace(ctx, at, user, last, m)
}
