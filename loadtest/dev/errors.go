package dev

import (
	"errors"
	"fmt"
	"strconv"

	"ramen/clients/go/wire"
)

// errMalformed is what a server sends that is not of the contract.
var errMalformed = errors.New("malformed")

func malformed(format string, args ...any) error {
	return fmt.Errorf("dev: read stream: %w: "+format, append([]any{errMalformed}, args...)...)
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
	errMoved   = errors.New("moved")
)

// label is err in few words, for a count of its kind.
func label(err error) string {
	var status statusError
	var code closeError
	var end *wire.EndError
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &code):
		return "close " + strconv.Itoa(code.code)
	case errors.Is(err, errMalformed):
		return "malformed"
	case errors.As(err, &end) && end.Reason.String() != "":
		return end.Reason.String()
	case errors.As(err, &end) && end.Err != nil:
		return label(end.Err)
	}
	text := err.Error()
	return text[:min(len(text), 60)]
}
