package redistest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
)

// urlVariable names a server that is there already: redis://user:password@host:port/db, or rediss.
const urlVariable = "REDIS_URL"

// Place is a server or a cluster that tests share. Each has a prefix of its own there; none stops, pauses, configures or empties it.
type Place struct {
	url    string
	client *redis.Options // nil: a cluster
}

// shared are the places of this process; nil: not started, or it failed.
var shared struct {
	mu              sync.Mutex
	server, cluster *Place
}

// Shared is one server for all tests of a process, without anything on disk, or the one that REDIS_URL names. Its tests have a TestMain by
// testserver.Main, which ends it.
func Shared(t testserver.TB) *Place {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		return shared.server
	}
	if at := os.Getenv(urlVariable); at != "" {
		o, err := redis.ParseURL(at)
		if err != nil {
			t.Fatalf("redistest: %s: %v", urlVariable, err)
		}
		shared.server = &Place{url: at, client: o}
		return shared.server
	}
	s := Single(testserver.Lasting(t), Options{})
	shared.server = &Place{url: s.URL(), client: s.ClientOptions()}
	return shared.server
}

// SharedCluster is one cluster for all tests of a process, as Shared is one server.
func SharedCluster(t testserver.TB) *Place {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil {
		shared.cluster = &Place{url: StartCluster(testserver.Lasting(t), Options{}).URL()}
	}
	return shared.cluster
}

// URL is that of a store of the test's own, by its prefix. Its keys are deleted at the end of the test, but for those in a cluster, which
// ends with the process.
func (p *Place) URL(t testserver.TB) string {
	t.Helper()
	prefix := "ramen-test-" + strconv.FormatUint(rand.Uint64(), 36)
	if p.client != nil {
		t.Cleanup(func() {
			if err := p.drop(prefix); err != nil {
				t.Errorf("redistest: delete the keys of a test: %v", err)
			}
		})
	}
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	q := u.Query()
	q.Set("prefix", prefix)
	u.RawQuery = q.Encode()
	return u.String()
}

// drop deletes all keys that begin with prefix.
func (p *Place) drop(prefix string) error {
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	c := redis.NewClient(p.client)
	defer c.Close()
	found := c.Scan(ctx, 0, prefix+":*", 1000).Iterator()
	for found.Next(ctx) {
		if err := c.Unlink(ctx, found.Val()).Err(); err != nil {
			return fmt.Errorf("%s: %w", found.Val(), err)
		}
	}
	return found.Err()
}
