package cassandra

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// The times of the driver that no parameter sets.
const (
	connectTimeout = 2 * time.Second // of a connection's set-up, a step at a time
	// requestTimeout is the driver's own, behind our deadlines of a request: heartbeats and the driver's questions to the cluster
	// have no other.
	requestTimeout = 2 * time.Second
	// reconnectEvery is how often hosts without a connection are tried.
	reconnectEvery = 2 * time.Second
	keepAlive      = 5 * time.Second
	schemaTimeout  = 20 * time.Second
)

// cluster is the driver's configuration.
func (c *config) cluster(log *slog.Logger) (*gocql.ClusterConfig, error) {
	k := gocql.NewCluster(c.hosts...)
	k.ProtoVersion = 4 // 5 puts a second checksum around each frame, at a cost
	k.Timeout, k.ConnectTimeout, k.WriteTimeout = requestTimeout, connectTimeout, requestTimeout
	k.NumConns = c.connections
	k.Consistency, k.SerialConsistency = gocql.LocalQuorum, gocql.LocalSerial
	if c.serial == serialGlobal {
		k.SerialConsistency = gocql.Serial
	}
	k.DefaultIdempotence = true
	k.WriteCoalesceWaitTime = 0
	k.ReconnectInterval = reconnectEvery
	k.ReconnectionPolicy = &gocql.ConstantReconnectionPolicy{MaxRetries: 1, Interval: 100 * time.Millisecond}
	// What the cluster says of hosts is not believed: a node that was paused takes the others for dead. Hosts without a connection are
	// tried every two seconds, and those that do not answer are found by the breakers.
	k.Events.DisableNodeStatusEvents = true
	k.Metadata.CacheMode = gocql.KeyspaceOnly
	k.NextPagePrefetch = 0
	k.Logger = driverLog{log}
	k.Dialer = dialer{}
	if c.dc != "" {
		k.HostFilter = gocql.DataCenterHostFilter(c.dc)
	}
	if c.user != "" {
		k.Authenticator = gocql.PasswordAuthenticator{Username: c.user, Password: c.password}
	}
	if c.tls {
		t, err := c.tlsConfig()
		if err != nil {
			return nil, err
		}
		k.SslOpts = &gocql.SslOptions{Config: t, EnableHostVerification: true}
	}
	return k, nil
}

func (c *config) tlsConfig() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", c.ca)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// dialer finds peers that are gone without a word: the driver's heartbeats alone take half a minute for that.
type dialer struct{}

func (dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		Timeout:         connectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: 3},
	}
	d.SetMultipathTCP(false)
	return d.DialContext(ctx, network, address)
}

// connect opens a session, or gives up when ctx ends: the driver's own attempt then goes on, and what it opens is closed.
func connect(ctx context.Context, k *gocql.ClusterConfig) (*gocql.Session, error) {
	type result struct {
		session *gocql.Session
		err     error
	}
	opened := make(chan result, 1)
	go func() {
		s, err := k.CreateSession()
		opened <- result{s, err}
	}()
	select {
	case r := <-opened:
		return r.session, r.err
	case <-ctx.Done():
		go func() {
			if r := <-opened; r.session != nil {
				r.session.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// localDatacentre is that of the first host that answers.
func (c *config) localDatacentre(ctx context.Context, log *slog.Logger) (string, error) {
	k, err := c.cluster(log)
	if err != nil {
		return "", err
	}
	k.HostFilter, k.NumConns = nil, 1
	s, err := connect(ctx, k)
	if err != nil {
		return "", err
	}
	defer s.Close()
	var dc string
	err = s.Query("SELECT data_center FROM system.local").Consistency(gocql.One).ScanContext(ctx, &dc)
	return dc, err
}

// open connects to the cluster, in the datacentre that is configured, or found.
func (c *config) open(ctx context.Context, log *slog.Logger, inKeyspace bool, policy func(dc string) gocql.HostSelectionPolicy) (*gocql.Session, error) {
	if c.dc == "" {
		dc, err := c.localDatacentre(ctx, log)
		if err != nil {
			return nil, c.unreached(err)
		}
		c.dc = dc
	}
	k, err := c.cluster(log)
	if err != nil {
		return nil, err
	}
	k.PoolConfig.HostSelectionPolicy = policy(c.dc)
	if inKeyspace {
		k.Keyspace = c.keyspace
	} else { // statements that change the schema take longer
		k.Timeout, k.WriteTimeout, k.NumConns = schemaTimeout, schemaTimeout, 1
		k.MaxWaitSchemaAgreement = 0 // who changes it waits once, when all is done: makeSchema
	}
	s, err := connect(ctx, k)
	if err != nil && inKeyspace && ctx.Err() == nil && c.lacksKeyspace(ctx, log) {
		return nil, errNoSchema
	}
	if err != nil {
		return nil, c.unreached(err)
	}
	return s, nil
}

// lacksKeyspace reports whether the cluster is reached and does not have the keyspace. The driver does not tell: it has no connection.
func (c *config) lacksKeyspace(ctx context.Context, log *slog.Logger) bool {
	s, err := c.open(ctx, log, false, gocql.DCAwareRoundRobinPolicy)
	if err != nil {
		return false
	}
	defer s.Close()
	var name string
	err = s.Query("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?", c.keyspace).ScanContext(ctx, &name)
	return errors.Is(err, gocql.ErrNotFound)
}

// unreached says what to do.
func (c *config) unreached(err error) error {
	if errors.Is(err, gocql.ErrNoConnectionsStarted) && c.dc != "" {
		return fmt.Errorf("no host of datacentre %q is reached at %v: is dc right, and is Cassandra running? (%w)", c.dc, c.hosts, err)
	}
	return fmt.Errorf("no host is reached at %v: is Cassandra running, do address, user and password fit? (%w)", c.hosts, err)
}

// driverLog writes what the driver has to say. Its warnings are ours at debug: what matters of them is counted and told by the calls.
type driverLog struct{ log *slog.Logger }

func (l driverLog) Error(msg string, fields ...gocql.LogField) { l.write(slog.LevelInfo, msg, fields) }
func (l driverLog) Warning(msg string, fields ...gocql.LogField) {
	l.write(slog.LevelDebug, msg, fields)
}
func (l driverLog) Info(msg string, fields ...gocql.LogField) { l.write(slog.LevelDebug, msg, fields) }
func (l driverLog) Debug(string, ...gocql.LogField)           {}

func (l driverLog) write(level slog.Level, msg string, fields []gocql.LogField) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	args := make([]any, 0, 2*len(fields))
	for _, f := range fields {
		args = append(args, f.Name, f.Value.Any())
	}
	l.log.Log(context.Background(), level, "cassandra driver: "+msg, args...)
}
