//go:build !linux

package machine

import (
	"os/exec"
	"syscall"
)

// Start starts cmd; processors are left to the system here.
func Start(cmd *exec.Cmd, _ []int) error { return cmd.Start() }

// Processors is not told here.
func Processors() []int { return nil }

// Descriptors is not told here.
func Descriptors() int { return 0 }

// InMemory is not told here.
func InMemory(string) bool { return false }

// OwnGroup keeps nothing apart here.
func OwnGroup() *syscall.SysProcAttr { return nil }

func model() string            { return "" }
func kernel() string           { return "" }
func fileSystem(string) string { return "" }

// BindSelf leaves processors to the system here.
func BindSelf([]int) error { return nil }
