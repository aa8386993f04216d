package slow

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"
	tunName   = "slow0"
)

// openTUN makes the device of the namespace that this thread is in, with an address and one peer, and loopback.
func openTUN(own, peer netip.Addr) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("slow: open %s: %w: load the module tun, and give a container the device", tunDevice, err)
	}
	ifr, _ := unix.NewIfreq(tunName)
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return nil, errors.Join(fmt.Errorf("slow: make TUN device %s: %w", tunName, err), unix.Close(fd))
	}
	if err := configure(own, peer); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), tunDevice), nil // only now: the runtime's poller takes no device without an interface
}

// configure gives the device its addresses and turns it and loopback on.
func configure(own, peer netip.Addr) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("slow: set up TUN device %s: %w", tunName, err)
	}
	defer unix.Close(s)
	set := func(name string, request uint, fill func(*unix.Ifreq) error) {
		if err != nil {
			return
		}
		ifr, _ := unix.NewIfreq(name)
		if err = fill(ifr); err == nil {
			err = unix.IoctlIfreq(s, request, ifr)
		}
	}
	address := func(a netip.Addr) func(*unix.Ifreq) error {
		return func(ifr *unix.Ifreq) error { return ifr.SetInet4Addr(a.AsSlice()) }
	}
	up := func(ifr *unix.Ifreq) error {
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	}
	set("lo", unix.SIOCSIFFLAGS, up)
	set(tunName, unix.SIOCSIFADDR, address(own))
	set(tunName, unix.SIOCSIFDSTADDR, address(peer))
	set(tunName, unix.SIOCSIFMTU, func(ifr *unix.Ifreq) error { ifr.SetUint32(mtu); return nil })
	set(tunName, unix.SIOCSIFFLAGS, up) // brings the route to the peer with it
	if err != nil {
		return fmt.Errorf("slow: set up TUN device %s: %w", tunName, err)
	}
	return nil
}
