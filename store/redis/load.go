package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// Load implements store.Store. Of two entries of one id the older one is deleted.
func (s *Store) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	m, err := s.load(ctx, at, user)
	if err != nil {
		return store.Mailbox{}, fmt.Errorf("store/redis: load user %q: %w", user, err)
	}
	return m, nil
}

func (s *Store) load(ctx context.Context, at store.Owner, user protocol.UserID) (m store.Mailbox, err error) {
	if err := checkUser(user); err != nil {
		return m, err
	}
	g := newGroup(1)
	c := newCall(ctx, kindLoad, at)
	c.keep, c.read, c.answer = true, true, g.answer
	defer c.free()
	if int(at.Shard) < len(s.keys) {
		s.addMailbox(c, &s.keys[at.Shard], user)
	}
	c.command("hgetall")
	s.submitAll([]*call{c})
	g.wait()
	if g.errs[0] != nil {
		return m, g.errs[0]
	}
	fields, ok := c.reply.([]any)
	if !ok {
		return m, fmt.Errorf("%w: %T to HGETALL", errReply, c.reply)
	}
	m, damaged, err := parseMailbox(fields, nowMS()-s.cfg.IDRetention.Milliseconds())
	if err != nil {
		return store.Mailbox{}, err
	}
	for _, f := range damaged {
		s.log.Error("a value of a mailbox is corrupt: its checksum does not fit, and it is left out", "user", user, "field", fmt.Sprintf("%q", f))
	}
	var older []store.Ref
	if m.Entries, older = newestOfIDs(m.Entries); len(older) > 0 {
		err = errors.Join(s.Forget(ctx, []store.Forget{{Owner: at, User: user, Refs: older}})...)
	}
	return m, err
}

// parseMailbox reads the fields of a mailbox and their values, with the ids that were accepted from sinceMS on. It leaves out the
// fields whose values are damaged, and names them.
func parseMailbox(fields []any, sinceMS int64) (m store.Mailbox, damaged []string, err error) {
	for i := 0; i+1 < len(fields); i += 2 {
		f, _ := fields[i].(string)
		v, _ := fields[i+1].(string)
		if f == "" {
			return m, nil, fmt.Errorf("%w: a field of %T", errReply, fields[i])
		}
		switch err := addField(&m, f, v, sinceMS); {
		case errors.Is(err, errDamaged):
			damaged = append(damaged, f)
		case err != nil:
			return m, nil, fmt.Errorf("field %q: %w", f, err)
		}
	}
	slices.SortFunc(m.Entries, func(a, b store.Entry) int {
		if d := int(a.Message.Priority) - int(b.Message.Priority); d != 0 {
			return d
		}
		return a.Position.Compare(b.Position)
	})
	slices.SortFunc(m.Devices, func(a, b store.Device) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return m, damaged, nil
}

func addField(m *store.Mailbox, f, v string, sinceMS int64) (err error) {
	switch {
	case f == "l":
		m.Last, err = parsePosition(v)
		return err
	case f == "h", f == "t":
		return nil
	case f[0] == fieldEntry:
		ref, err := parseEntryField(f)
		if err != nil {
			return err
		}
		value, err := unseal(f, v)
		if err != nil {
			return err
		}
		e, err := codec.DecodeEntry(ref, value)
		m.Entries = append(m.Entries, e)
		return err
	case f[0] == fieldDevice:
		if len(v) < orderSize {
			return errors.New("a device without its order")
		}
		value, err := unseal(f, v[orderSize:])
		if err != nil {
			return err
		}
		d, err := codec.DecodeDevice([]byte(f[1:]), value)
		m.Devices = append(m.Devices, d)
		return err
	case f[0] == fieldID:
		if len(v) < 8 {
			return errors.New("an id without its time")
		}
		if ms := int64(uint64Of(v)); ms >= sinceMS {
			m.Seen = append(m.Seen, store.Seen{ID: protocol.MessageID(v[8:]), AcceptedMS: ms})
		}
		return nil
	}
	return errors.New("unknown field")
}

// newestOfIDs takes the entries out of all for whose id there is one with a higher position.
func newestOfIDs(all []store.Entry) (newest []store.Entry, older []store.Ref) {
	if len(all) < 2 {
		return all, nil
	}
	at := make(map[protocol.MessageID]protocol.Position, len(all))
	for i := range all {
		if id := all[i].Message.ID; at[id].Less(all[i].Position) {
			at[id] = all[i].Position
		}
	}
	if len(at) == len(all) {
		return all, nil
	}
	for i := range all {
		e := &all[i]
		if at[e.Message.ID] == e.Position {
			newest = append(newest, *e)
		} else {
			older = append(older, store.Ref{Priority: e.Message.Priority, Position: e.Position})
		}
	}
	return newest, older
}
