//go:build unix

package main

import "syscall"

// yield has this process go behind the server and the canaries where they want the same processors: an attacker has machines
// of its own.
func yield() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) }
