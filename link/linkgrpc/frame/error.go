package frame

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/link"
	"ramen/protocol"
)

// errorKind is linkpb.Error_Kind.
type errorKind uint8

const (
	errOther errorKind = iota
	errNotOwner
	errSuperseded
	errLost
	errRefused
	errCanceled
	errDeadline
	errNotSent
)

// sentinels are the errors that callers branch on, and that have nothing more to say.
var sentinels = [...]error{
	errNotOwner: link.ErrNotOwner, errSuperseded: link.ErrSuperseded, errLost: link.ErrLost,
	errCanceled: context.Canceled, errDeadline: context.DeadlineExceeded, errNotSent: link.ErrNotSent,
}

// kindOf finds the most specific kind of err. ErrNotSent is an ErrLost.
func kindOf(err error) errorKind {
	for _, k := range []errorKind{errNotOwner, errSuperseded, errNotSent, errLost, errDeadline, errCanceled} {
		if errors.Is(err, sentinels[k]) {
			return k
		}
	}
	return errOther
}

// callError appends an error: one of the contract as it is, without what it is wrapped in; another as its text.
func callError(b []byte, field protowire.Number, err error) []byte {
	b, at := begin(b, field)
	if refused, ok := errors.AsType[*protocol.Error](err); ok {
		b = text(text(number(b, 1, errRefused), 2, refused.Code), 3, refused.Message)
		return end(number(b, 4, int64(refused.RetryAfter)), at)
	}
	kind := kindOf(err)
	b = number(b, 1, kind)
	if kind == errOther {
		b = text(b, 3, err.Error())
	}
	if not, ok := errors.AsType[*link.NotOwnerError](err); ok {
		b = loss(b, 5, link.Loss(*not))
	}
	return end(b, at)
}

// readError decodes an error. It is never nil.
func readError(b []byte) error {
	var (
		kind  errorKind
		e     protocol.Error
		known bool
		l     link.Loss
	)
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			kind = errorKind(min(w.uint(), 1<<8-1))
		case 2:
			e.Code = protocol.Code(w.text())
		case 3:
			e.Message = w.text()
		case 4:
			e.RetryAfter = time.Duration(w.i64())
		case 5:
			read, err := readLoss(w.bytes())
			w.check(err)
			l, known = read, true
		}
	}
	switch {
	case w.err() != nil:
		return w.err()
	case kind == errRefused:
		return &e
	case kind == errNotOwner && known:
		not := link.NotOwnerError(l)
		return &not
	case int(kind) < len(sentinels) && sentinels[kind] != nil:
		return sentinels[kind]
	}
	return errors.New(e.Message) // or of a newer version, which says its text too
}
