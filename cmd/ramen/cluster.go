package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ramen/topology/admin"
)

func clusterCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cluster",
		Short: "See and steer a cluster: its members, shards and controllers.",
		Long: "See and steer a cluster, through the HTTP port of any of its members (--url: the backends' port of a frontend, the operators' of a\n" +
			"controller or gateway). With authentication, looking takes an API key with the scope read, and changing one with the scope operate:\n" +
			"ramen token --backend NAME --scopes read,operate.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(clusterStatusCommand(), clusterDrainCommand(), clusterUndrainCommand(), clusterMoveCommand(), clusterUnpinCommand(), clusterControllersCommand(), clusterCertsCommand())
	return c
}

// clusterFlags is how a cluster is reached.
type clusterFlags struct {
	url, key string
	tls      tlsFlags
}

func (f *clusterFlags) bind(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.url, "url", fromEnv("RAMEN_BACKENDS_URL", "http://127.0.0.1:9080"), "HTTP port of a member; RAMEN_BACKENDS_URL in the environment")
	fl.StringVar(&f.key, "key", "", "API key; RAMEN_KEY in the environment is safer, since other users of the machine cannot see it")
	fl.StringVar(&f.tls.ca, "ca", "", "PEM `file` with the certificate authorities to trust instead of the system's")
	fl.StringVar(&f.tls.cert, "cert", "", "PEM `file` with a client certificate")
	fl.StringVar(&f.tls.key, "key-pem", "", "PEM `file` with the client certificate's private key")
}

// clusterTimeout bounds one call, beyond what a member itself allows for one.
const clusterTimeout = 10 * time.Second

// maxAnswer bounds what is read of an answer, in bytes: the shards of the largest cluster are less.
const maxAnswer = 64 << 20

// call asks a member, and reads its answer into it.
func (f *clusterFlags) call(ctx context.Context, method, path string, body, into any) error {
	t, err := f.tls.config()
	if err != nil {
		return err
	}
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(f.url, "/")+"/v1/cluster"+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key := cmp.Or(f.key, os.Getenv("RAMEN_KEY")); key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: t, DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("cluster: read the answer of %s: %w", f.url, err)
	}
	if answer.StatusCode != http.StatusOK {
		return refusedCall(f.url, answer, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cluster: the answer of %s is not what a member of a cluster answers: %w", f.url, err)
	}
	return nil
}

// refusedCall is what a member says of a call that it refuses.
func refusedCall(url string, answer *http.Response, text []byte) error {
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
		return fmt.Errorf("cluster: %s answers %s", url, answer.Status)
	}
	if answer.StatusCode == http.StatusNotFound && strings.HasPrefix(e.Error.Message, "there is nothing at this path") {
		return fmt.Errorf("cluster: %s is no member of a cluster: it stands alone", url)
	}
	return fmt.Errorf("cluster: %s (%s)", e.Error.Message, e.Error.Code)
}

// named is the body of calls about a gateway or a controller.
type named struct {
	Name string `json:"name"`
	Peer string `json:"peer,omitempty"`
}

// waitFlags is for how long a command waits for what it has begun.
type waitFlags struct {
	wait bool
	time time.Duration
}

func (f *waitFlags) bind(c *cobra.Command, what string) {
	c.Flags().BoolVar(&f.wait, "wait", false, "wait until "+what)
	c.Flags().DurationVar(&f.time, "timeout", 5*time.Minute, "with --wait: the longest time")
}

const clusterPoll = 250 * time.Millisecond

// until asks again and again, until is answers true.
func (f *waitFlags) until(ctx context.Context, is func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, f.time, fmt.Errorf("cluster: it was not done within --timeout %v, and goes on", f.time))
	defer cancel()
	tick := time.NewTicker(clusterPoll)
	defer tick.Stop()
	for {
		done, err := is(ctx)
		if done || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func clusterDrainCommand() *cobra.Command {
	var f clusterFlags
	var w waitFlags
	c := &cobra.Command{
		Use:   "drain NODE",
		Short: "Move all shards of a gateway to others, and keep it empty.",
		Long: "Have all shards of the gateway NODE (its cluster.name) move to others, some at a time, while it goes on serving those that have not\n" +
			"moved. It stays empty, over its restarts too, until ramen cluster undrain NODE. A gateway that is stopped by SIGTERM moves its shards by\n" +
			"itself: draining it before is for longer work on it, and to see the end of it before it is stopped.",
		Example: "  ramen cluster drain g2 --wait",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out, name := c.OutOrStdout(), args[0]
			var d admin.Drain
			if err := f.call(c.Context(), http.MethodPost, "/drain", named{Name: name}, &d); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s is draining: it has %d shards\n", name, d.Shards)
			if !w.wait {
				return nil
			}
			last, seen := d.Shards, false
			err := w.until(c.Context(), func(ctx context.Context) (bool, error) {
				var s admin.Status
				if err := f.call(ctx, http.MethodGet, "", nil, &s); err != nil {
					return false, err
				}
				left, is := leftOf(&s, name)
				seen = seen || is
				switch {
				case !is && !seen: // another member answers, which has not heard of it yet
					return false, nil
				case !is:
					return false, fmt.Errorf("cluster: %s is not draining any more: somebody has undone it", name)
				}
				if left != last {
					fmt.Fprintf(out, "%s has %d shards\n", name, left)
					last = left
				}
				return left == 0, nil
			})
			if err == nil {
				fmt.Fprintf(out, "%s is empty\n", name)
			}
			return err
		},
	}
	f.bind(c)
	w.bind(c, "the gateway is empty")
	return c
}

func leftOf(s *admin.Status, name string) (int, bool) {
	for _, d := range s.Draining {
		if d.Name == name {
			return d.Shards, true
		}
	}
	return 0, false
}

func clusterUndrainCommand() *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use:   "undrain NODE",
		Short: "Let a gateway that was drained have shards again.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var answer named
			if err := f.call(c.Context(), http.MethodPost, "/undrain", named{Name: args[0]}, &answer); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s gets its share of the shards again\n", args[0])
			return err
		},
	}
	f.bind(c)
	return c
}

func parseShard(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("cluster: SHARD is %q; it must be the number of a shard, from 0 on", text)
	}
	return n, nil
}

func clusterMoveCommand() *cobra.Command {
	var f clusterFlags
	var w waitFlags
	c := &cobra.Command{
		Use:   "move SHARD NODE",
		Short: "Move a shard to a gateway, and keep it there.",
		Long: "Move the shard SHARD to the gateway NODE (its cluster.name). It stays there while NODE may own shards, until ramen cluster unpin SHARD.\n" +
			"Others move so that all have their share.",
		Example: "  ramen cluster move 17 g2 --wait",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			shard, err := parseShard(args[0])
			if err != nil {
				return err
			}
			to := args[1]
			var was admin.Move
			if err := f.call(c.Context(), http.MethodPost, "/move", map[string]any{"shard": shard, "to": to}, &was); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "shard %d is to move from %s to %s\n", shard, cmp.Or(string(was.Member), "nobody"), to)
			if !w.wait {
				return nil
			}
			seen := false
			return w.until(c.Context(), func(ctx context.Context) (bool, error) {
				var all admin.Shards
				if err := f.call(ctx, http.MethodGet, "/shards", nil, &all); err != nil || shard >= len(all.Shards) {
					return false, err
				}
				s := all.Shards[shard]
				seen = seen || s.Pin == to
				switch {
				case s.Pin != to && !seen: // another member answers, which has not heard of it yet
					return false, nil
				case s.Pin != to:
					return false, fmt.Errorf("cluster: shard %d is not to move to %s any more: somebody has undone it", shard, to)
				}
				done := s.State == "serving" && s.Member.Name() == to
				if done {
					fmt.Fprintf(c.OutOrStdout(), "shard %d is served by %s at epoch %d\n", shard, s.Member, s.Epoch)
				}
				return done, nil
			})
		},
	}
	f.bind(c)
	w.bind(c, "the gateway serves the shard")
	return c
}

func clusterUnpinCommand() *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use:   "unpin SHARD",
		Short: "Let a shard that was moved go wherever the controller has it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			shard, err := parseShard(args[0])
			if err != nil {
				return err
			}
			var answer struct{}
			if err := f.call(c.Context(), http.MethodPost, "/unpin", map[string]any{"shard": shard}, &answer); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "shard %d goes wherever the controller has it\n", shard)
			return err
		},
	}
	f.bind(c)
	return c
}

func clusterControllersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "controllers",
		Short: "List, add and remove the controllers' etcd members.",
		Long: "List, add and remove the controllers, as members of the etcd that they carry. A controller is added as a learner, is started, catches up, and\n" +
			"is promoted; one whose data is lost is removed, and added again under another address or with an empty folder. Have an odd number: 1, 3 or 5.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(controllersListCommand(), controllersAddCommand(),
		controllersChange("promote NAME", "Give a controller that was added, and has caught up, a vote.", "has a vote"),
		controllersChange("remove NAME", "Remove a controller for ever, by name or id. Stop its process, and empty its folder.", "is removed: stop its process, and empty its cluster.controller.data"))
	return c
}

func controllersListCommand() *cobra.Command {
	var f clusterFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the controllers, and how each is.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var all struct {
				Controllers []admin.Controller `json:"controllers"`
			}
			if err := f.call(c.Context(), http.MethodGet, "/controllers", nil, &all); err != nil {
				return err
			}
			if asJSON {
				return writeJSON(c.OutOrStdout(), all)
			}
			return writeControllers(c.OutOrStdout(), all.Controllers)
		},
	}
	f.bind(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func controllersAddCommand() *cobra.Command {
	var f clusterFlags
	c := &cobra.Command{
		Use:   "add NAME HOST:PORT",
		Short: "Let a controller join, as a learner, and say what to start it with.",
		Long: "Let the controller NAME join, whose cluster.controller.peer is HOST:PORT: as a learner, which has no vote yet. Then start it with what is\n" +
			"printed, and promote it.",
		Example: "  ramen cluster controllers add c4 10.0.0.4:7380",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			var a admin.Added
			if err := f.call(c.Context(), http.MethodPost, "/controllers/add", named{args[0], args[1]}, &a); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s may join, as a learner with the id %s. Start it with an empty cluster.controller.data, and with\n\n"+
				"  ramen serve --role controller --cluster.name %s --cluster.controller.peer %s --cluster.controller.join \\\n    --cluster.controller.members %s …\n\n"+
				"Once it runs: ramen cluster controllers promote %s\n", args[0], a.Controller.ID, args[0], args[1], a.Members, args[0])
			return err
		},
	}
	f.bind(c)
	return c
}

// controllersChange is the command that promotes or removes.
func controllersChange(use, short, done string) *cobra.Command {
	var f clusterFlags
	verb, _, _ := strings.Cut(use, " ")
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var m admin.Controller
			if err := f.call(c.Context(), http.MethodPost, "/controllers/"+verb, named{Name: args[0]}, &m); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s %s\n", cmp.Or(m.Name, m.ID), done)
			return err
		},
	}
	f.bind(c)
	return c
}

var errProblems = errors.New("cluster: members and view contradict each other: see problems")
