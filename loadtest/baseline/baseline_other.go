//go:build !linux

package baseline

import (
	"context"
	"errors"
	"io"
)

var errLinux = errors.New("baseline: it is made of epoll, which this system has not: use Linux")

// Serve says that there is no floor here.
func Serve(context.Context, Config, io.Writer) error { return errLinux }
