package cassandra

import (
	"context"
	"errors"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store"
)

// errOverloaded is the answer where too many writes are under way: nothing was done.
var errOverloaded = errors.New("too much is under way; retry with backoff")

// fault is what an error of a request says.
type fault struct {
	reason  reason
	unknown bool // of a write: it may have happened
	silent  bool // the host has not answered
	again   bool // another host may do it
}

// reason is why a request failed, as metrics tell it.
type reason uint8

const (
	reasonTimeout     reason = iota // no answer from the host in time
	reasonConnection                // the connection was lost, or there is none
	reasonUnavailable               // too few replicas are up
	reasonOverloaded                // the host, or this process, has too much under way
	reasonReplicas                  // replicas have not answered the host in time, or failed
	reasonRefused                   // the request is wrong, or not allowed
	reasonDamaged                   // what is stored cannot be read
	reasonOther
	reasons
)

var reasonNames = [reasons]string{"timeout", "connection", "unavailable", "overloaded", "replicas", "refused", "damaged", "other"}

// faultOf says what err of a request means. A write that never left is known not to have happened, and so is one that a coordinator
// has refused before it asked a replica: "unavailable", "overloaded", "bootstrapping", and what is wrong with the request itself.
func faultOf(err error) fault {
	var damaged *damageError
	switch {
	case errors.As(err, &damaged):
		return fault{reason: reasonDamaged}
	case errors.Is(err, errOverloaded):
		return fault{reason: reasonOverloaded}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, gocql.ErrTimeoutNoResponse):
		return fault{reason: reasonTimeout, unknown: true, silent: true, again: true}
	case errors.Is(err, gocql.ErrNoConnections), errors.Is(err, gocql.ErrNoStreams):
		return fault{reason: reasonConnection, again: true}
	}
	var coded gocql.RequestError
	if !errors.As(err, &coded) {
		return fault{reason: reasonConnection, unknown: true, silent: true, again: true}
	}
	switch coded.Code() {
	case gocql.ErrCodeUnavailable:
		return fault{reason: reasonUnavailable, again: true}
	case gocql.ErrCodeOverloaded, gocql.ErrCodeBootstrapping:
		return fault{reason: reasonOverloaded, again: true}
	case gocql.ErrCodeWriteTimeout, gocql.ErrCodeReadTimeout, gocql.ErrCodeWriteFailure, gocql.ErrCodeReadFailure, gocql.ErrCodeCASWriteUnknown:
		return fault{reason: reasonReplicas, unknown: true, again: true}
	case gocql.ErrCodeServer, gocql.ErrCodeTruncate:
		return fault{reason: reasonOther, unknown: true, again: true}
	}
	return fault{reason: reasonRefused}
}

// unknownError says that a write may have happened.
func unknownError(err error) error {
	if errors.Is(err, store.ErrUnknown) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnknown, err)
}

// damageError is a value that cannot be read.
type damageError struct {
	what string
	err  error
}

func (e *damageError) Error() string { return "damaged " + e.what + ": " + e.err.Error() }
func (e *damageError) Unwrap() error { return e.err }
