package gateway

import "golang.org/x/sys/unix"

// asleep is for how long the machine was suspended since it was started, in ns: what its boot clock is ahead of the monotonic one.
var asleep = func() int64 {
	var monotonic, boot unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic) != nil {
		return 0
	}
	return boot.Nano() - monotonic.Nano()
}
