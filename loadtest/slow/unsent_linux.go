package slow

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Unacked is how many bytes the kernel holds for connections of a local port of the namespace, written and not acknowledged
// by the peer (SIOCOUTQ): the most of any connection.
func (s *Space) Unacked(port uint16) (most int, err error) {
	err = s.Do(func() error {
		for _, name := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			n, err := unacked(name, port)
			if err != nil {
				return err
			}
			most = max(most, n)
		}
		return nil
	})
	return most, err
}

// unacked reads one table: sl local_address rem_address st tx_queue:rx_queue …
func unacked(name string, port uint16) (most int, err error) {
	f, err := os.Open(name)
	if os.IsNotExist(err) {
		return 0, nil // no IPv6
	}
	if err != nil {
		return 0, fmt.Errorf("slow: read queues: %w", err)
	}
	defer f.Close()
	local := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || fields[3] == stateListen {
			continue
		}
		sent, _, _ := strings.Cut(fields[4], ":")
		if n, err := strconv.ParseUint(sent, 16, 32); err == nil {
			most = max(most, int(n))
		}
	}
	return most, nil
}

const stateListen = "0A"
