package cassandratest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Cassandra's ports.
const (
	storagePort = 7000 // between nodes
	nativePort  = 9042 // for clients
)

// reserveNetwork finds a loopback network that no other cluster has: addresses are 127.a.b.n. It is kept by a mark, a UDP port, until
// release is called.
func reserveNetwork() (prefix string, release func() error, err error) {
	for range 1000 {
		prefix = fmt.Sprintf("127.%d.%d.", 1+rand.IntN(254), rand.IntN(255))
		var mark net.PacketConn
		if mark, err = net.ListenPacket("udp", fmt.Sprintf("%s1:%d", prefix, storagePort)); err != nil {
			continue
		}
		if err = free(prefix); err == nil {
			return prefix, mark.Close, nil
		}
		err = errors.Join(err, mark.Close())
	}
	return "", nil, fmt.Errorf("cassandratest: reserve a loopback network: none of 1000 is free, the last because of: %w", err)
}

// free is nil where the first addresses can be listened at.
func free(prefix string) error {
	for _, port := range []int{storagePort, nativePort} {
		for node := 1; node <= maxNodes; node++ {
			l, err := net.Listen("tcp", fmt.Sprintf("%s%d:%d", prefix, node, port))
			if err != nil {
				return err
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
