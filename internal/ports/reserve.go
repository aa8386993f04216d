package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// The ports that Reserve draws from lie below those that systems give to clients (32768 and up on Linux): a client that asks
// again and again for a server that is down can be given that server's port, connect to itself, and keep the server from it.
const (
	firstPort = 20000
	pastPorts = 26000
	markAbove = 6000 // a port's mark is the UDP port so much above it: nothing that is tested uses that, as HTTP/3 does its own
)

// Reserve finds a loopback address whose TCP port nobody else has, as a server needs that comes back at the same place, or a
// program that cannot be given port 0. A UDP port, its mark, is bound until release is called: it keeps other callers of Reserve
// away, in other processes too, while no server listens.
func Reserve() (addr string, release func() error, err error) {
	for range 1000 {
		port := firstPort + rand.IntN(pastPorts-firstPort)
		addr = fmt.Sprintf("127.0.0.1:%d", port)
		var mark net.PacketConn
		if mark, err = net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+markAbove)); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			err = l.Close()
		}
		if err == nil {
			return addr, mark.Close, nil
		}
		err = errors.Join(err, mark.Close())
	}
	return "", nil, fmt.Errorf("ports: reserve a port from %d to %d: none of 1000 is free, the last because of: %w", firstPort, pastPorts-1, err)
}
