package linkgrpc

import (
	"errors"
	"fmt"

	"ramen/link/linkgrpc/frame"
)

// versions is which versions of the protocol a program speaks. A link speaks the lower of both ends' newest: what is newer in one of
// them the other ignores. What would be misunderstood if it were ignored needs a new version, and after a release another oldest.
type versions struct{ newest, oldest uint32 }

var current = versions{newest: 1, oldest: 1}

var errNoAnswer = errors.New("no answer in time")

// receiveHello takes the first batch of a link. It has one frame.
func receiveHello(c conn) (*frame.Hello, error) {
	var in received
	if err := c.RecvMsg(&in); err != nil {
		return nil, err
	}
	defer in.free()
	r := frame.Read(in.bytes())
	var f frame.Frame
	if !r.Next(&f) || f.Kind != frame.KindHello {
		return nil, &refusal{"the peer's first frame is no hello: it is no member of a cluster"}
	}
	h, err := frame.ReadHello(f.Body)
	return &h, err
}

// agree says why two ends have no version in common.
func agree(mine, theirs *frame.Hello) error {
	speaks := min(mine.Version, theirs.Version)
	switch {
	case speaks < mine.MinVersion:
		return &refusal{fmt.Sprintf("%s speaks version %d of the link; the oldest that %s speaks is %d: upgrade %s", theirs.From, theirs.Version, mine.From, mine.MinVersion, theirs.From)}
	case speaks < theirs.MinVersion:
		return &refusal{fmt.Sprintf("%s speaks version %d of the link; the oldest that %s speaks is %d: upgrade %s", mine.From, mine.Version, theirs.From, theirs.MinVersion, mine.From)}
	case mine.Cluster != "" && theirs.Cluster != "" && mine.Cluster != theirs.Cluster:
		return &refusal{fmt.Sprintf("%s is of cluster %q, and %s of %q", theirs.From, theirs.Cluster, mine.From, mine.Cluster)}
	}
	return nil
}

// checkGateway says why a frontend has no use for the gateway that answered.
func checkGateway(mine, theirs *frame.Hello) error {
	if theirs.From != mine.To {
		return &refusal{fmt.Sprintf("%s was expected, and %q answered: the address is another member's now", mine.To, theirs.From)}
	}
	return agree(mine, theirs)
}

// checkFrontend says why a gateway refuses the frontend that asks.
func checkFrontend(mine, theirs *frame.Hello) error {
	if theirs.To != mine.From {
		return &refusal{fmt.Sprintf("%s is here, and %q was meant: the address is another member's now", mine.From, theirs.To)}
	}
	if theirs.From == "" || theirs.Instance == "" {
		return &refusal{"the frontend does not say who it is"}
	}
	return agree(mine, theirs)
}
