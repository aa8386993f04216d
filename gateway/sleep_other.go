//go:build !linux

package gateway

// asleep is nil: it is not known here for how long the machine was suspended.
var asleep func() int64
