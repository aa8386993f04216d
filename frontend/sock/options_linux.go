package sock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// setOptions sets cfg's options on fd, listening or connected.
func setOptions(fd int, cfg Config) error {
	set := func(name string, level, option, value int) error {
		err := unix.SetsockoptInt(fd, level, option, value)
		switch {
		case err == nil:
			return nil
		case err == unix.ENOPROTOOPT || err == unix.EOPNOTSUPP:
			return fmt.Errorf("set %s to %d: %w: is the socket multipath TCP, its listener not made by Listen?", name, value, err)
		}
		return fmt.Errorf("set %s to %d: %w", name, value, err)
	}
	err := set("TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil && cfg.SendBuffer > 0 {
		err = set("SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, cfg.SendBuffer)
	}
	if err == nil && cfg.NotSentLowat > 0 {
		err = set("TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, cfg.NotSentLowat)
	}
	if err == nil && cfg.KeepAlive > 0 {
		s := int((cfg.KeepAlive + time.Second - 1) / time.Second)
		err = set("TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, s)
		if err == nil {
			err = set("TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, s)
		}
		if err == nil {
			err = set("SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		}
	}
	if err == nil && cfg.UserTimeout > 0 { // last: ensureOptions takes it for the sign that all are set
		err = set("TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(cfg.UserTimeout.Milliseconds()))
	}
	return err
}

// ensureOptions sets cfg's options unless fd has inherited them: one system call instead of six.
func ensureOptions(fd int, cfg Config) error {
	if cfg.UserTimeout > 0 {
		ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err == nil && ms == int(cfg.UserTimeout.Milliseconds()) {
			return nil
		}
	}
	return setOptions(fd, cfg)
}
