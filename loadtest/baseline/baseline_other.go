//go:build !linux

package baseline

import (
	"context"
	"errors"
	"io"
)

var errLinux = errors.New("baseline: the baseline server needs epoll: use Linux")

// Serve fails: the baseline server needs epoll.
func Serve(context.Context, Config, io.Writer) error { return errLinux }
