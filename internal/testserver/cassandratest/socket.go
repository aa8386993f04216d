package cassandratest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"ramen/internal/testserver"
)

// socketVariable names the socket at which the program Share (internal/testserver/share) tells of a node that several test binaries share.
const socketVariable = "RAMEN_TESTSERVER_SOCKET"

// ask asks the program Share for the hosts of its node, which starts with the first question.
func ask(socket string) (hosts string, err error) {
	conn, err := net.DialTimeout("unix", socket, testserver.Patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(testserver.Patience)); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && len(answer) == 0 {
		err = errors.New("it did not start: what Share wrote says why")
	}
	return string(answer), err
}

// Serve starts the shared node with the first connection to l, and tells each its hosts, or nothing where it does not start. It returns
// once l is closed; testserver.CloseShared ends the node after that. t.Fatalf has to end a goroutine alone.
func Serve(t testserver.TB, l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cassandratest: %w", err)
		}
		all.Go(func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, strings.Join(Shared(t).Hosts, ",")) // who has gone needs no answer
		})
	}
}

// Environ is the variable by which Shared finds who serves at a socket.
func Environ(socket string) string { return socketVariable + "=" + socket }
