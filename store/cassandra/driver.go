package cassandra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store"
	"ramen/store/driver"
)

// Driver is what the store offers to those who open it by a URL.
func Driver() driver.Driver {
	return driver.Driver{
		Schemes: []string{"cassandra"},
		Open: func(ctx context.Context, p driver.Params) (store.Store, error) {
			s, err := open(ctx, p)
			if err != nil {
				return nil, fmt.Errorf("store/cassandra: open: %w", err)
			}
			return s, nil
		},
		Check:  check,
		Schema: schemaText,
		Init:   initialize,
		Remote: true,
	}
}

func logOf(p driver.Params) *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}

// defaultRetention is how long ids are remembered where nobody says it.
const defaultRetention = 5 * time.Minute

func open(ctx context.Context, p driver.Params) (*Store, error) {
	cfg, err := parse(p)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: logOf(p), retention: p.IDRetention, slack: defaultSlack, breakers: &breakers{started: time.Now()}}
	if s.retention <= 0 {
		s.retention = defaultRetention
	}
	s.init()
	s.metrics = newMetrics(s)
	if s.session, err = s.cfg.open(ctx, s.log, true, func(dc string) gocql.HostSelectionPolicy { return newPolicy(dc, s.breakers) }); err != nil {
		s.workers.end()
		return nil, err
	}
	if err = s.readAbout(ctx, p.Shards); err == nil {
		err = s.metrics.register(p.Registerer)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	s.flusher.Go(func() { s.writeForgets(s.ended) })
	return s, nil
}

// schemaText is the schema in CQL.
func schemaText(p driver.Params) (string, error) {
	cfg, err := parse(p)
	if err != nil {
		return "", fmt.Errorf("store/cassandra: schema: %w", err)
	}
	var b strings.Builder
	for _, statement := range cfg.schema() {
		b.WriteString(statement)
		b.WriteString(";\n\n")
	}
	return b.String(), nil
}

// initialize creates what Open needs.
func initialize(ctx context.Context, p driver.Params) ([]string, error) {
	done, err := initializeStore(ctx, p)
	if err != nil {
		return done, fmt.Errorf("store/cassandra: init: %w", err)
	}
	return done, nil
}

func initializeStore(ctx context.Context, p driver.Params) (done []string, err error) {
	cfg, err := parse(p)
	if err != nil {
		return nil, err
	}
	if p.Shards < 1 {
		return nil, fmt.Errorf("the number of shards is %d: it must be at least 1", p.Shards)
	}
	session, err := cfg.open(ctx, logOf(p), false, gocql.DCAwareRoundRobinPolicy)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if err := cfg.knowsTables(ctx, session); err != nil {
		return nil, err // before anything is changed
	}
	done, err = makeSchema(ctx, session, cfg.schema())
	if err != nil {
		return done, err
	}
	a := newAbout(p.Shards, cfg.slot)
	text, err := json.Marshal(a)
	if err != nil {
		return done, err
	}
	for _, row := range []struct{ name, value string }{
		{metaStore, string(text)},
		{metaMaxTTL, strconv.FormatInt(cfg.maxTTL.Milliseconds(), 10)},
		{metaSchema, strconv.Itoa(schemaVersion)},
	} {
		made, err := cfg.insertMeta(ctx, session, row.name, row.value)
		if err != nil {
			return done, fmt.Errorf("write %s of table meta: %w", row.name, err)
		}
		if made {
			done = append(done, "wrote row "+row.name+" of table meta")
		}
	}
	return done, nil
}

// knowsTables is an error where there are tables already, of a version to which those of this release are not to be added.
func (c *config) knowsTables(ctx context.Context, session *gocql.Session) error {
	var value string
	err := session.Query(strings.Replace(selectMeta, "meta", c.keyspace+".meta", 1), metaSchema).Consistency(c.serial.reads()).ScanContext(ctx, &value)
	var coded gocql.RequestError
	switch {
	case errors.As(err, &coded) && coded.Code() == gocql.ErrCodeInvalid, errors.Is(err, gocql.ErrNotFound):
		return nil // there are none, or not all
	case err != nil:
		return fmt.Errorf("read the version of the tables: %w", err)
	}
	if n, err := strconv.Atoi(value); err == nil && n < schemaVersion {
		return fmt.Errorf("the tables are of version %d, from which no step to %d is known", n, schemaVersion)
	}
	return checkSchema(value)
}

// makeSchema has statements done by one host, of which each knows those before, and waits then until all nodes have the schema.
func makeSchema(ctx context.Context, session *gocql.Session, statements []string) (done []string, err error) {
	rows := session.Query("SELECT key FROM system.local").Consistency(gocql.One).IterContext(ctx)
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("find a host that answers: %w", err)
	}
	host := rows.Host().HostID()
	for _, statement := range statements {
		if err := session.Query(statement).SetHostID(host).Consistency(gocql.LocalQuorum).ExecContext(ctx); err != nil {
			return done, fmt.Errorf("%s: %w", firstLine(statement), err)
		}
		done = append(done, "there is a "+strings.ToLower(strings.Replace(strings.TrimPrefix(firstLine(statement), "CREATE "), " IF NOT EXISTS", "", 1)))
	}
	return done, awaitSchema(ctx, session, host)
}

// schemaAgreed is how long nodes may take to agree on a schema, and schemaPoll how often they are asked.
const (
	schemaAgreed = time.Minute
	schemaPoll   = 50 * time.Millisecond
)

// awaitSchema waits until all nodes that host knows have the schema that it has.
func awaitSchema(ctx context.Context, session *gocql.Session, host string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaAgreed)
	defer cancel()
	for {
		versions := make(map[string]bool)
		var err error
		for _, table := range []string{"system.local", "system.peers"} {
			rows := session.Query("SELECT schema_version FROM " + table).SetHostID(host).Consistency(gocql.One).IterContext(ctx)
			for version := (*gocql.UUID)(nil); rows.Scan(&version); version = nil {
				if version != nil { // else the node has not told yet, or is none
					versions[version.String()] = true
				}
			}
			err = errors.Join(err, rows.Close())
		}
		if err == nil && len(versions) == 1 {
			return nil
		}
		if !pause(ctx, schemaPoll) {
			return fmt.Errorf("the nodes do not agree on the schema: they have %d versions of it: %w", len(versions), errors.Join(err, ctx.Err()))
		}
	}
}

func firstLine(statement string) string {
	line, _, _ := strings.Cut(statement, "\n")
	return strings.TrimSuffix(strings.TrimSpace(line), " (")
}

// insertMeta makes a row, unless it is there.
func (c *config) insertMeta(ctx context.Context, session *gocql.Session, name, value string) (made bool, err error) {
	serial := gocql.LocalSerial
	if c.serial == serialGlobal {
		serial = gocql.Serial
	}
	statement := strings.Replace(insertMeta, "meta", c.keyspace+".meta", 1)
	for { // a transaction that was cut off may have made it: then the next finds it
		made, err = session.Query(statement, name, value).SerialConsistency(serial).MapScanCASContext(ctx, make(map[string]any))
		if err == nil {
			return made, nil
		}
		if err := claimAgain(ctx, err); err != nil {
			return false, err
		}
	}
}
