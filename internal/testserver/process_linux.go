package testserver

import "syscall"

// endWithParent has the system kill the process when the thread ends that starts it.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
