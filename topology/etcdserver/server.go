// Package etcdserver is etcd inside a controller.
//
// An error of its write-ahead log or of its backend ends the whole process: that is etcd's way. So a controller is a process of its own
// wherever that matters.
//
// Goroutines: etcd's and two more, until Close.
package etcdserver

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// The times of etcd's election. Its own defaults are right on small machines.
const (
	heartbeatMS = 100
	electionMS  = 1000
)

// Config is one member of an etcd.
type Config struct {
	Name    string // of this member
	Dir     string // where it keeps its data
	Client  string // host:port where it is asked
	Peer    string // host:port where the other members reach it
	Members string // all members of a new etcd: name=host:port,… of their peers; empty: this one alone
	Join    bool   // it joins an etcd that is there, of which Members are all
	TLS     TLS
	Log     *slog.Logger // nil: nothing is logged
}

// TLS is files of certificates. Empty: none.
type TLS struct {
	Cert, Key, CA string // of this member; clients and other members must have one that CA has signed
}

// Server is an etcd that runs.
type Server struct {
	e         *embed.Etcd
	calls     *calls
	quiet     *atomic.Bool  // set by Close
	closing   chan struct{} // closed by Close
	watched   chan struct{} // closed once nothing waits for its end any more
	compacted chan struct{} // closed once nothing is compacted any more
	failed    chan error    // of capacity 1
}

// closeLeaderTimeout is how long a member that ends may take to hand its leadership over.
const closeLeaderTimeout = 2 * time.Second

// ErrRemoved is why a member has ended that was taken out of the others' etcd. Its data is of no use any more.
var ErrRemoved = errors.New("this member was removed from its etcd")

var errStopped = errors.New("it has stopped serving")

// ErrLate is why a start has ended that was not ready in time. Other members may be missing.
var ErrLate = errors.New("etcdserver: not ready in time: a majority of its members must be there")

// Start starts it. It is ready once Ready is closed: with several members that takes a majority of them.
func Start(cfg Config) (_ *Server, err error) {
	c := embed.NewConfig()
	c.Name, c.Dir = cfg.Name, cfg.Dir
	c.TickMs, c.ElectionMs = heartbeatMS, electionMS
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModeRevision, "1000"
	c.QuotaBackendBytes = quotaBytes
	c.SnapshotCount = 10_000
	scheme := "http"
	if cfg.TLS.Cert != "" {
		scheme = "https"
		for _, t := range []*struct{ cert, key, ca *string }{
			{&c.ClientTLSInfo.CertFile, &c.ClientTLSInfo.KeyFile, &c.ClientTLSInfo.TrustedCAFile},
			{&c.PeerTLSInfo.CertFile, &c.PeerTLSInfo.KeyFile, &c.PeerTLSInfo.TrustedCAFile},
		} {
			*t.cert, *t.key, *t.ca = cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.CA
		}
		c.ClientTLSInfo.ClientCertAuth, c.PeerTLSInfo.ClientCertAuth = true, true
	}
	client, peer := url.URL{Scheme: scheme, Host: cfg.Client}, url.URL{Scheme: scheme, Host: cfg.Peer}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	if c.InitialCluster, err = initial(cfg, scheme); err != nil {
		return nil, err
	}
	if cfg.Join {
		c.ClusterState = embed.ClusterStateFlagExisting
	}
	calls, quiet := newCalls(), new(atomic.Bool)
	c.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainStreamInterceptor(calls.intercept)}
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(logCore{cmp.Or(cfg.Log, slog.New(slog.DiscardHandler)), quiet}))
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, fmt.Errorf("etcdserver: start member %s on %s: %w", cfg.Name, cfg.Dir, err)
	}
	s := &Server{e: e, calls: calls, quiet: quiet, closing: make(chan struct{}), watched: make(chan struct{}), compacted: make(chan struct{}), failed: make(chan error, 1)}
	go s.watch()
	go s.compact(compactAbove)
	return s, nil
}

// initial is the members in etcd's own form.
func initial(cfg Config, scheme string) (string, error) {
	if cfg.Members == "" {
		return cfg.Name + "=" + scheme + "://" + cfg.Peer, nil
	}
	var all []string
	for m := range strings.SplitSeq(cfg.Members, ",") {
		name, addr, is := strings.Cut(strings.TrimSpace(m), "=")
		if _, _, err := net.SplitHostPort(addr); !is || name == "" || err != nil {
			return "", fmt.Errorf("etcdserver: member %q: each must be name=host:port, of its peers' port", m)
		}
		all = append(all, name+"="+scheme+"://"+addr)
	}
	return strings.Join(all, ","), nil
}

// Ready is closed once it answers.
func (s *Server) Ready() <-chan struct{} { return s.e.Server.ReadyNotify() }

// Failed has why it has ended by itself, once: ErrRemoved, or what failed. It is closed where Close has ended it.
func (s *Server) Failed() <-chan error { return s.failed }

// watch waits for its end.
func (s *Server) watch() {
	defer close(s.watched)
	defer close(s.failed)
	var err error
	select {
	case <-s.closing:
		return
	case err = <-s.e.Err():
	case <-s.e.Server.StopNotify():
		err = ErrRemoved // it stops by itself for nothing else: it has applied that, or another member has said so
	}
	s.failed <- fmt.Errorf("etcdserver: %w", cmp.Or(err, errStopped))
}

// AwaitReady waits until it answers.
func (s *Server) AwaitReady(patience time.Duration) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-s.Ready():
		return nil
	case err := <-s.Failed():
		return fmt.Errorf("etcdserver: %w", err)
	case <-late.C:
		return ErrLate
	}
}

// Client is the URL where it is asked.
func (s *Server) Client() string { return s.e.Config().AdvertiseClientUrls[0].String() }

// Close hands the leadership over, ends the streams of clients, which go on at another member, and stops the member.
func (s *Server) Close() {
	s.quiet.Store(true)
	close(s.closing)
	<-s.watched
	<-s.compacted
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		_ = s.e.Server.TryTransferLeadershipOnShutdown() // others elect one without it
	}()
	late := time.NewTimer(closeLeaderTimeout)
	defer late.Stop()
	stuck := false
	select {
	case <-handed:
	case <-late.C:
		stuck = true
	}
	s.calls.end()
	select {
	case <-s.Ready():
	default:
		stuck = true // its ports wait for that, and embed.Etcd for its ports
	}
	if stuck {
		s.e.Server.HardStop() // ends the handing-over too
	}
	s.e.Close()
	<-handed
}
