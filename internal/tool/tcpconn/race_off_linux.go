//go:build !race

package tcpconn

func (*call) announce(uintptr)           {}
func (*call) announced(uintptr, uintptr) {}
