package cassandra

import (
	"fmt"
	"strings"
	"time"
)

// schemaVersion is that of the tables below. A release that has another brings older tables to it in initialize. Open refuses tables of any other
// version, and so does initialize those from which it knows no step.
const schemaVersion = 1

// gcGrace is how long a deletion, and a row that has expired, is kept beyond its time: as long as a node keeps hints for one that is
// away, which a lower value would turn off. A node that was away for longer has to be repaired, or built anew.
const gcGrace = 3 * time.Hour

// schema is the statements that make a keyspace and its tables.
func (c *config) schema() []string {
	return append([]string{c.createKeyspace()}, c.createTables()...)
}

func (c *config) createKeyspace() string {
	var in []string
	for _, r := range c.replication {
		dc := r.dc
		if dc == "" {
			dc = "replication_factor"
		}
		in = append(in, fmt.Sprintf("'%s': %d", dc, r.n))
	}
	return fmt.Sprintf("CREATE KEYSPACE IF NOT EXISTS %s\n  WITH replication = {'class': 'NetworkTopologyStrategy', %s}\n  AND durable_writes = true",
		c.keyspace, strings.Join(in, ", "))
}

func (c *config) createTables() []string {
	window := max(c.maxTTL/20, time.Minute)
	ofMessages := fmt.Sprintf("{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES', 'compaction_window_size': '%d'}",
		int(window/time.Minute))
	const ofOthers = "{'class': 'UnifiedCompactionStrategy'}"
	table := func(name, columns, compaction, comment string) string {
		return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s (\n%s)\n  WITH compaction = %s\n  AND gc_grace_seconds = %d AND read_repair = 'BLOCKING' AND speculative_retry = '99p'\n  AND comment = '%s'",
			c.keyspace, name, columns, compaction, int(gcGrace/time.Second), comment)
	}
	return []string{
		table("messages",
			"  shard int, user text, epoch bigint, slot bigint,\n"+
				"  micros bigint,\n  nonce bigint,\n  step blob,\n"+
				"  PRIMARY KEY ((shard, user, epoch, slot), micros, nonce)\n",
			ofMessages, "a row a step of a user, at the position of the last that it adds or kills"),
		table("users",
			"  shard int, user text,\n"+
				"  item blob,\n  value blob,\n"+
				"  PRIMARY KEY ((shard, user), item)\n",
			ofOthers, "of a user: the buckets with messages, devices, what is forgotten"),
		table("claims",
			"  part int,\n  shard int,\n  round bigint static,\n  epoch bigint,\n  owner text,\n  again int,\n"+
				"  PRIMARY KEY (part, shard)\n",
			ofOthers, "who has claimed each shard last"),
		table("owners",
			"  owner text PRIMARY KEY,\n  until bigint\n",
			ofOthers, "the processes that are there"),
		table("caches",
			"  part int,\n  shard int,\n  generation bigint,\n  history text,\n"+
				"  PRIMARY KEY (part, shard)\n",
			ofOthers, "which cached mailboxes of each shard may be trusted"),
		table("meta",
			"  name text PRIMARY KEY,\n  value text\n",
			ofOthers, "the version of the schema, the identity of the store"),
	}
}
