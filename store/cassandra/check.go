package cassandra

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store/driver"
)

// check looks at the cluster, the keyspace and the tables.
func check(ctx context.Context, p driver.Params) (driver.Report, error) {
	r, err := checkCluster(ctx, p)
	if err != nil {
		return r, fmt.Errorf("store/cassandra: check: %w", err)
	}
	return r, nil
}

func checkCluster(ctx context.Context, p driver.Params) (driver.Report, error) {
	var k checking
	cfg, err := parse(p)
	if err != nil {
		return k.Report, err
	}
	session, err := cfg.open(ctx, logOf(p), false, gocql.DCAwareRoundRobinPolicy)
	if err != nil {
		return k.Report, err
	}
	defer session.Close()
	k.cfg, k.session, k.sync = cfg, session, make(map[string]bool)
	k.checkHosts(ctx)
	if err := k.checkKeyspace(ctx, p.Shards); err != nil {
		return k.Report, err
	}
	k.Durability = k.durability()
	return k.Report, nil
}

// checking is a Report that is being made.
type checking struct {
	driver.Report
	cfg     config
	session *gocql.Session
	copies  int
	sync    map[string]bool // the values of commitlog_sync
}

func (k *checking) problem(format string, args ...any) {
	k.Problems = append(k.Problems, fmt.Sprintf(format, args...))
}

// oldest is the version that has all that is used: table messages' neighbours are compacted by UnifiedCompactionStrategy.
const oldest = 5

// checkHosts asks each host of the datacentre.
func (k *checking) checkHosts(ctx context.Context) {
	hosts := k.session.GetHosts()
	hosts = slices.DeleteFunc(hosts, func(h *gocql.HostInfo) bool { return h.DataCenter() != k.cfg.dc })
	slices.SortFunc(hosts, func(a, b *gocql.HostInfo) int {
		return cmp.Compare(a.ConnectAddress().String(), b.ConnectAddress().String())
	})
	if len(hosts) == 0 {
		k.problem("datacentre %q has no host: is dc right?", k.cfg.dc)
	}
	for _, h := range hosts {
		server := driver.Server{Address: h.HostnameAndPort(), Role: "node"}
		var version string
		if err := k.ask(ctx, h, "SELECT release_version FROM system.local").ScanContext(ctx, &version); err != nil {
			server.Err = err
			k.problem("host %s is not reached: %v", server.Address, err)
		} else {
			server.Version = "Cassandra " + version
			k.checkHost(ctx, h, server.Address, version)
		}
		k.Servers = append(k.Servers, server)
	}
}

// ask is a question to one host.
func (k *checking) ask(ctx context.Context, h *gocql.HostInfo, statement string, values ...any) *gocql.Query {
	return k.session.Query(statement, values...).Consistency(gocql.One).SetHostID(h.HostID())
}

func (k *checking) checkHost(ctx context.Context, h *gocql.HostInfo, address, version string) {
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldest {
		k.problem("host %s has version %s: %d.0 or later is needed", address, version, oldest)
	}
	settings := make(map[string]string)
	for _, name := range []string{"commitlog_sync", "commitlog_sync_period"} {
		var value *string
		if err := k.ask(ctx, h, "SELECT value FROM system_views.settings WHERE name = ?", name).ScanContext(ctx, &value); err != nil {
			k.problem("host %s does not tell its setting %s: %v", address, name, err)
			return
		}
		if value != nil {
			settings[name] = *value
		}
	}
	k.sync[settings["commitlog_sync"]] = true
	if settings["commitlog_sync"] == "periodic" {
		k.problem("host %s has commitlog_sync: periodic, each %s: it answers before a message is on its disk; set commitlog_sync: group (or batch)",
			address, settings["commitlog_sync_period"])
	}
}

// checkKeyspace looks at the replication, and at the tables.
func (k *checking) checkKeyspace(ctx context.Context, shards int) error {
	var replication map[string]string
	var durable bool
	err := k.session.Query("SELECT replication, durable_writes FROM system_schema.keyspaces WHERE keyspace_name = ?", k.cfg.keyspace).
		ScanContext(ctx, &replication, &durable)
	if errors.Is(err, gocql.ErrNotFound) {
		k.problem("there is no keyspace %s: create it with \"ramen store init URL\"", k.cfg.keyspace)
		return nil
	}
	if err != nil {
		return err
	}
	if !durable {
		k.problem("keyspace %s has durable_writes = false: messages are lost when a node is restarted; alter it to true", k.cfg.keyspace)
	}
	k.checkReplication(replication)
	if err := k.checkMeta(ctx, shards); err != nil {
		return err
	}
	return k.checkTables(ctx)
}

func (k *checking) checkReplication(replication map[string]string) {
	if class := replication["class"]; !strings.HasSuffix(class, "NetworkTopologyStrategy") {
		k.problem("keyspace %s is replicated by %s: LOCAL_QUORUM needs NetworkTopologyStrategy", k.cfg.keyspace, class)
		return
	}
	k.copies, _ = strconv.Atoi(replication[k.cfg.dc])
	switch {
	case k.copies == 0:
		k.problem("keyspace %s has no copy in datacentre %q: it has %v", k.cfg.keyspace, k.cfg.dc, replication)
	case k.copies < 3:
		k.problem("keyspace %s has a replication of %d in datacentre %q: when a node is away, its messages are refused; 3 bears that", k.cfg.keyspace, k.copies, k.cfg.dc)
	}
}

func (k *checking) checkMeta(ctx context.Context, shards int) error {
	for _, row := range []string{metaSchema, metaStore} {
		var value string
		err := k.session.Query("SELECT value FROM "+k.cfg.keyspace+".meta WHERE name = ?", row).ScanContext(ctx, &value)
		var coded gocql.RequestError
		if errors.As(err, &coded) && coded.Code() == gocql.ErrCodeInvalid || errors.Is(err, gocql.ErrNotFound) {
			k.problem("%v", errNoSchema)
			return nil
		}
		if err != nil {
			return err
		}
		if row == metaSchema {
			err = checkSchema(value)
		} else {
			_, err = parseAbout(value, shards)
		}
		if err != nil {
			k.problem("%v", err)
		}
	}
	return nil
}

func (k *checking) checkTables(ctx context.Context) error {
	rows := k.session.Query("SELECT table_name, gc_grace_seconds, read_repair, compaction FROM system_schema.tables WHERE keyspace_name = ?", k.cfg.keyspace).
		IterContext(ctx)
	var name, repair string
	var grace int
	var compaction map[string]string
	for rows.Scan(&name, &grace, &repair, &compaction) {
		if strings.ToUpper(repair) != "BLOCKING" {
			k.problem("table %s has read_repair = '%s': what one quorum has seen another may not; set it to 'BLOCKING'", name, repair)
		}
		if grace == 0 {
			k.problem("table %s has gc_grace_seconds = 0, which turns hints off: a node that was away lacks what was written meanwhile; set it to %d", name, int(gcGrace.Seconds()))
		}
		if class := compaction["class"]; name == "messages" && !strings.HasSuffix(class, "TimeWindowCompactionStrategy") {
			k.problem("table messages is compacted by %s: rows that expire at about the same time go together with TimeWindowCompactionStrategy", class)
		}
	}
	return rows.Close()
}

// durability is what an accepted message survives.
func (k *checking) durability() string {
	quorum := k.copies/2 + 1
	var on string
	switch kinds := slices.Sorted(maps.Keys(k.sync)); {
	case k.copies == 0:
		return "nothing can be said: the keyspace has no copy in the datacentre"
	case len(kinds) == 1 && kinds[0] != "periodic":
		on = "on their disks"
	default:
		on = "in their memory, and soon on their disks"
	}
	return fmt.Sprintf("an accepted message is with %d of %d replicas, %s: it survives that any %d of them are lost%s", quorum, k.copies, on, quorum-1, k.power())
}

func (k *checking) power() string {
	if len(k.sync) == 1 && !k.sync["periodic"] {
		return ", and a loss of power of all"
	}
	return "; a loss of power of all at once may lose the last seconds"
}
