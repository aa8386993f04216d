package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
)

const (
	// masterName is what the sentinels call the master they watch.
	masterName = "ramen"
	// sentinels is how many watch, quorum how many of them must agree that the master is down.
	sentinels, quorum = 3, 2
)

// Watched is a master with replicas and three sentinels, who promote a replica about 3 s after the master is gone.
type Watched struct {
	Replicated
	Sentinels []*Server
	Name      string // of the master, for clients
}

// WithSentinels starts a master with replicas under three sentinels, and waits until the sentinels know all of them. Sentinels take no
// password of their clients; their settings are set by SENTINEL SET.
func WithSentinels(t testserver.TB, o Options, replicas int) *Watched {
	t.Helper()
	if o.Proxied {
		t.Fatalf("redistest: sentinels would lead clients past proxies")
	}
	w := &Watched{Replicated: *WithReplicas(t, o, replicas), Name: masterName}
	for range sentinels {
		s := prepare(t, Options{Kind: o.Kind, TLS: o.TLS}, w.Master.ca, "--sentinel")
		if err := w.configure(s, o); err != nil {
			t.Fatalf("redistest: configure a sentinel: %v", err)
		}
		w.Sentinels = append(w.Sentinels, s)
	}
	startAll(t, w.Sentinels)
	for _, s := range w.Sentinels {
		s.await(t, "know all", func(ctx context.Context, c *redis.Client) error { return w.known(ctx, c, replicas) })
	}
	return w
}

// configure adds to a server's configuration what a sentinel has. It writes what it learns into the same file.
func (w *Watched) configure(s *Server, o Options) error {
	host, port, err := net.SplitHostPort(w.Master.Addr)
	if err != nil {
		return err
	}
	lines := []string{
		fmt.Sprintf("monitor %s %s %s %d", masterName, host, port, quorum),
		// They ask each second: with less than two they take a new master for down that was asked a moment too late.
		"down-after-milliseconds " + masterName + " 2000",
		"failover-timeout " + masterName + " 5000", // twice as long passes before a failed fail-over is tried again
		"parallel-syncs " + masterName + " 5",
	}
	if o.User != "" {
		lines = append(lines, "auth-user "+masterName+" "+o.User)
	}
	if o.Password != "" {
		lines = append(lines, "auth-pass "+masterName+" "+o.Password)
	}
	conf := Config{"sentinel": strings.Join(lines, "\n"), "save": "", "appendonly": ""}
	return appendConf(s.Dir, conf)
}

// known is nil where a sentinel knows the others and the replicas, and would reach a quorum.
func (w *Watched) known(ctx context.Context, c *redis.Client, replicas int) error {
	sc := redis.NewSentinelClient(c.Options())
	defer sc.Close()
	if err := sc.CkQuorum(ctx, masterName).Err(); err != nil {
		return err
	}
	m, err := sc.Master(ctx, masterName).Result()
	if err != nil {
		return err
	}
	if others := fmt.Sprint(sentinels - 1); m["num-other-sentinels"] != others || m["num-slaves"] != fmt.Sprint(replicas) {
		return fmt.Errorf("it knows %s sentinels and %s replicas", m["num-other-sentinels"], m["num-slaves"])
	}
	return nil
}

// Current is the server that all sentinels that run take for the master.
func (w *Watched) Current(t testserver.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	var current *Server
	if err := testserver.Await(ctx, func() (err error) {
		current, err = w.current(ctx)
		return err
	}); err != nil {
		t.Fatalf("redistest: ask sentinels for the master: %v", err)
	}
	return current
}

func (w *Watched) current(ctx context.Context) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, sentinels*answerWithin) // some may be paused
	defer cancel()
	var named *Server
	for _, s := range w.Sentinels {
		if !s.Running() {
			continue
		}
		sc := redis.NewSentinelClient(s.ClientOptions())
		at, err := sc.GetMasterAddrByName(ctx, masterName).Result()
		sc.Close()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(w.Servers(), func(m *Server) bool { return m.Addr == net.JoinHostPort(at[0], at[1]) })
		if i < 0 || named != nil && named != w.Servers()[i] {
			return nil, fmt.Errorf("%s names %v", s.Addr, at)
		}
		named = w.Servers()[i]
	}
	if named == nil {
		return nil, errors.New("no sentinel runs")
	}
	return named, nil
}

// AwaitPromoted waits until another server than old is the master by the word of all sentinels and its own, and all that run follow it.
func (w *Watched) AwaitPromoted(t testserver.TB, old *Server) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	var promoted *Server
	if err := testserver.Await(ctx, func() (err error) {
		if promoted, err = w.current(ctx); err == nil && promoted == old {
			err = errors.New("no other is master")
		}
		if err == nil {
			err = isMaster(ctx, promoted)
		}
		for _, s := range w.Servers() {
			if err == nil && s.Running() && s != promoted && s != old {
				err = follows(ctx, s, promoted)
			}
		}
		return err
	}); err != nil {
		t.Fatalf("redistest: promote a replica: %v; a sentinel wrote:\n%s", err, w.Sentinels[0].LogTail())
	}
	return promoted
}

// follows is nil where replica has the data of master.
func follows(ctx context.Context, replica, master *Server) error {
	_, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c := redis.NewClient(replica.ClientOptions())
	defer c.Close()
	return infoHas(ctx, c, "replication", "role:slave", "master_port:"+port, "master_link_status:up")
}

func isMaster(ctx context.Context, s *Server) error {
	role, err := s.role(ctx)
	if err == nil && role != "master" {
		err = fmt.Errorf("%s is %s", s.Addr, role)
	}
	return err
}

// URL names the sentinels and the master in the form redis+sentinel://user:password@host:port,host:port/name/0; rediss+sentinel with TLS.
func (w *Watched) URL() string { return manyURL("sentinel", w.Master, w.Sentinels, "/"+w.Name+"/0") }

// manyURL names several servers with the user and password of one of them.
func manyURL(kind string, one *Server, all []*Server, path string) string {
	var hosts []string
	for _, s := range all {
		hosts = append(hosts, s.ClientAddr())
	}
	u, err := url.Parse(one.URL())
	if err != nil {
		panic(err) // URL makes one
	}
	u.Scheme += "+" + kind
	u.Host, u.Path = strings.Join(hosts, ","), path
	return u.String()
}

// appendConf adds settings to the file that a server reads; an empty one takes a setting out.
func appendConf(dir string, conf Config) error {
	file := filepath.Join(dir, "redis.conf")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var kept []string
	for line := range strings.Lines(string(text)) {
		key, _, _ := strings.Cut(line, " ")
		if _, set := conf[key]; !set {
			kept = append(kept, line)
		}
	}
	return os.WriteFile(file, []byte(strings.Join(kept, "")+conf.text()), 0o600)
}
