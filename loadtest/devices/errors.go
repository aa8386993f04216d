package devices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// errMalformed is what a server sends that is not of the contract.
var errMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("devices: read stream: %w: "+format, append([]any{errMalformed}, args...)...)
}

// statusError is a refusal before the stream.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

func (e closeError) Error() string { return fmt.Sprintf("close %d %s", e.code, e.text) }

// The ends that this side notices.
var (
	errEnded   = errors.New("ended by the server")
	errTimeout = errors.New("no hello in time")
	errSilent  = errors.New("silent")
)

// label is err in few words, for a count of its kind: there are only so many of them.
func label(err error) string {
	var status statusError
	var code closeError
	var end *wire.EndError
	var errno syscall.Errno
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &code):
		return "close " + strconv.Itoa(code.code)
	case errors.As(err, &end) && end.Reason != protocol.ReasonNone:
		return end.Reason.String()
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return errTimeout.Error()
	}
	for _, known := range []error{errMalformed, errEnded, errTimeout, errSilent} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "other"
}
