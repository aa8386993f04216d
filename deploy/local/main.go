// Local starts a whole cluster on this machine, says where it listens and what to try, and ends it with Ctrl-C: three controllers, three
// gateways, two frontends, and a real Redis or Cassandra. What it keeps goes with it.
//
// Goroutines: those of package localcluster.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var c localcluster.Config
	flag.StringVar(&c.Binary, "binary", "bin/ramen", "the ramen to run")
	flag.IntVar(&c.Controllers, "controllers", 3, "how many controllers: 1, 3 or 5")
	flag.IntVar(&c.Gateways, "gateways", 3, "how many gateways")
	flag.IntVar(&c.Frontends, "frontends", 2, "how many frontends")
	flag.StringVar(&c.LogLevel, "log-level", "info", "of all members: debug, info, warn or error")
	store := flag.String("store", "redis", "redis, redis-cluster or cassandra, which is started, or the URL of a store that is there")
	flag.Parse()
	err := run(ctx, c, *store, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run has a cluster until ctx ends.
func run(ctx context.Context, c localcluster.Config, store string, out io.Writer) (err error) {
	if c.Binary, err = filepath.Abs(c.Binary); err != nil {
		return fmt.Errorf("local: %w", err)
	}
	t := testserver.NewProgram("local", out)
	defer func() {
		if closed := t.Close(); err == nil {
			err = closed
		}
	}()
	return testserver.Do(func() {
		fmt.Fprintf(out, "starting %d controllers, %d gateways, %d frontends and a store (%s)\n", c.Controllers, c.Gateways, c.Frontends, store)
		switch store {
		case "redis": // the cluster starts it
		case "redis-cluster":
			_, c.Store = localcluster.RedisCluster(t, nil)
		case "cassandra":
			_, c.Store = localcluster.Cassandra(t, c.Binary, 1, nil)
		default:
			c.Store = store
		}
		describe(t, out, localcluster.Start(t, c))
		<-ctx.Done()
		fmt.Fprintln(out, "\nending all of it")
	})
}

// describe says where everything is, and what to try.
func describe(t testserver.TB, out io.Writer, c *localcluster.Cluster) {
	fmt.Fprintf(out, "\n%-14s %-8s %-38s %s\n", "member", "process", "listens at", "log")
	for _, m := range c.Members("") {
		at := m.At
		var where string
		switch m.Role {
		case localcluster.Controller:
			where = "etcd " + at.Client
		case localcluster.Gateway:
			where = "links " + at.Links
		case localcluster.Frontend:
			where = "devices " + at.Devices + ", gRPC " + at.DevicesGRPC
		}
		fmt.Fprintf(out, "%-14s %-8d %-38s %s\n%-14s %-8s %-38s\n", m.Name, m.PID(t), where, m.Log(), "", "", "operators and backends "+at.Backends)
	}
	front := c.Members(localcluster.Frontend)
	if len(front) == 0 {
		return
	}
	first, last := front[0].At, front[len(front)-1].At
	gateways := c.Members(localcluster.Gateway)
	fmt.Fprintf(out, `
A stream of a device, in one terminal:
  curl -N 'http://%s/ramen/receive?user=alice&device=phone'
Messages to it, in another, through the other frontend:
  while sleep 0.2; do curl -s http://%s/v1/publish -d '{"user":"alice","payload":"'$(date +%%T.%%N)'"}'; done
Kill a gateway, and watch: the stream stays open, and goes on at another gateway.
  kill -9 %d
Drain one: it gives its shards away, and ends.
  kill %d
What the elected controller has:
  curl -s http://%s/metrics | grep ramen_controller
Ctrl-C ends all of it.
`, first.Devices, last.Backends, gateways[0].PID(t), gateways[len(gateways)-1].PID(t), c.Members(localcluster.Controller)[0].At.Backends)
}
