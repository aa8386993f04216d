package redis

import (
	"testing"

	"ramen/internal/testserver/redistest"
)

// TestNodeThatIsAboutToBeUsedIsNotClosed: who has found the node of a call that was idle for long uses it after the keeper has looked for idle
// ones. One that nobody has found since is closed.
func TestNodeThatIsAboutToBeUsedIsNotClosed(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	s := open(t, clusterConfig(t, c))
	find := func() *node {
		t.Helper()
		n, err := s.nodeOfShard(within(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	found := find()
	found.usedMS.Store(0)
	if again := find(); again != found {
		t.Fatal("another node was found")
	}
	s.closeIdleNodes()
	if err := found.client.Ping(within(t)).Err(); err != nil {
		t.Errorf("the node that was found: %v", err)
	}
	found.usedMS.Store(0)
	s.closeIdleNodes()
	if err := found.client.Ping(within(t)).Err(); err == nil {
		t.Error("an idle node was not closed")
	}
	if again := find(); again == found {
		t.Error("a node that was closed is found")
	}
}
