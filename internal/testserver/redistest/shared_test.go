package redistest

import (
	"net/url"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// forget has Shared start, or look, anew.
func forget() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.server = nil
}

// TestSharedServerIsTheOneOfREDIS_URL where that is set, and keys of a test go with it.
func TestSharedServerIsTheOneOfREDIS_URL(t *testing.T) {
	there := Single(t, Options{User: "me", Password: "secret"})
	forget()
	t.Cleanup(forget)
	t.Setenv(urlVariable, there.URL())
	c := there.Client(t)
	if err := c.Set(t.Context(), "another's", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	t.Run("test", func(t *testing.T) {
		at, err := url.Parse(Shared(t).URL(t))
		if err != nil {
			t.Fatal(err)
		}
		prefix := at.Query().Get("prefix")
		at.RawQuery = ""
		if at.String() != there.URL() || prefix == "" {
			t.Fatalf("the place is %s, prefix %q", at.Redacted(), prefix)
		}
		for _, key := range []string{prefix + ":{1}:u:a", prefix + ":{identity}"} {
			if err := c.Set(t.Context(), key, "x", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
	if left := c.Keys(t.Context(), "*").Val(); len(left) != 1 || left[0] != "another's" {
		t.Errorf("the test has left %v", left)
	}
}

// TestSharedServerOutlivesTheTestThatStartedIt, and each test has a prefix of its own.
func TestSharedServerOutlivesTheTestThatStartedIt(t *testing.T) {
	t.Setenv(urlVariable, "")
	forget()
	var urls []string
	for range 2 {
		t.Run("test", func(t *testing.T) {
			p := Shared(t)
			urls = append(urls, p.URL(t))
			c := redis.NewClient(p.client)
			defer c.Close()
			if err := c.Ping(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
	before, _, _ := strings.Cut(urls[0], "?")
	if !strings.HasPrefix(urls[1], before+"?") || urls[0] == urls[1] {
		t.Errorf("the tests were led to %v", urls)
	}
}

// TestSharedClusterOutlivesTheTestThatStartedIt as a server does.
func TestSharedClusterOutlivesTheTestThatStartedIt(t *testing.T) {
	var urls []string
	for range 2 {
		t.Run("test", func(t *testing.T) { urls = append(urls, SharedCluster(t).URL(t)) })
	}
	if before, _, _ := strings.Cut(urls[0], "?"); !strings.HasPrefix(urls[1], before+"?") || urls[0] == urls[1] || !strings.HasPrefix(before, "redis+cluster://") {
		t.Errorf("the tests were led to %v", urls)
	}
}
