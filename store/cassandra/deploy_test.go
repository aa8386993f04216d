package cassandra

import (
	"errors"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"ramen/internal/testserver/cassandratest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// deployedFile is what deploy/cassandra has for nodes.
const deployedFile = "../../deploy/cassandra/cassandra.yaml"

var (
	offered = regexp.MustCompile(`(?m)^# ((?:authenticator|authorizer|role_manager): .*)$`)
	granted = regexp.MustCompile(`(?m)^# +((?:CREATE ROLE|GRANT) [^;]*);`)
)

// deployed are the settings of that file, with those that it offers for who may connect, and the statements that it has for RAMEN's role.
func deployed(t *testing.T) (settings map[string]any, statements []string) {
	t.Helper()
	text, err := os.ReadFile(deployedFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(offered.ReplaceAll(text, []byte("$1")), &settings); err != nil {
		t.Fatal(err)
	}
	if settings["commitlog_sync"] != "group" || settings["authorizer"] == nil {
		t.Fatalf("the file has %v", settings)
	}
	settings["commitlog_sync_period"] = nil // which it says is to be taken out
	for _, m := range granted.FindAllSubmatch(text, -1) {
		statements = append(statements, string(m[1]))
	}
	if len(statements) != 4 {
		t.Fatalf("the file has the statements %q", statements)
	}
	return settings, statements
}

// TestDeployedConfiguration runs the store on a node that is configured by deploy/cassandra/cassandra.yaml, as the role that it makes for RAMEN: a node
// starts with it, check finds nothing wrong but that there is one node, and the role may do all that is needed, and change no table.
func TestDeployedConfiguration(t *testing.T) {
	const password = "of-ramen"
	settings, statements := deployed(t)
	c := cassandratest.Start(t, cassandratest.Options{NeverKilled: true, Settings: settings})
	if len(c.Nodes) == 0 {
		t.Skip("CASSANDRA_HOSTS names nodes of somebody else")
	}
	p := paramsOf(t, c, 1, "&timeout=5s")
	keyspace := strings.Trim(p.URL.Path, "/")
	p.URL.User, p.Password = url.User(cassandratest.Superuser), cassandratest.Superuser
	prepared(t, p)
	operator := c.Session(t, "")
	for _, s := range statements {
		s = strings.NewReplacer("KEYSPACE ramen ", "KEYSPACE "+keyspace+" ", "'…'", "'"+password+"'").Replace(s)
		if err := operator.Query(s).ExecContext(t.Context()); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}

	p.URL.User, p.Password = url.User("ramen"), password
	r, err := check(t.Context(), p)
	if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "replication of 1") {
		t.Errorf("check: %v, %q", err, r.Problems)
	}
	if !strings.Contains(r.Durability, "on their disks") {
		t.Errorf("durability: %s", r.Durability)
	}
	s := openStore(t, p)
	defer s.Close()
	allOfARole(t, s)
	if err := s.session.Query("ALTER TABLE users WITH gc_grace_seconds = 0").ExecContext(t.Context()); err == nil {
		t.Error("the role may alter tables")
	}
}

// allOfARole does all that a server asks the store for.
func allOfARole(t *testing.T, s *Store) {
	t.Helper()
	at, ids := store.Owner{Shard: 1, Epoch: 1}, []protocol.ShardID{1}
	must := func(what string, errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	must("renew", s.Renew(t.Context(), "owner", 3*time.Second))
	must("claim", s.Claim(t.Context(), ids, 1, "owner")...)
	claims, errs := s.Claims(t.Context(), ids)
	if must("claims", errs...); claims[0].Epoch != 1 || !claims[0].Present {
		t.Errorf("the claim is %+v", claims[0])
	}
	e := message(1)
	must("append", storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: "u", Entries: []store.Entry{e}}})...)
	device := store.Device{ID: "phone", LastSeenMS: e.Message.CreatedMS}
	must("save", s.SaveDevices(t.Context(), []store.DeviceSave{{Owner: at, User: "u", Device: device}}, true)...)
	m, err := s.Load(t.Context(), at, "u")
	if must("load", err); len(m.Entries) != 1 || len(m.Devices) != 1 {
		t.Errorf("loaded %d entries of %d devices", len(m.Entries), len(m.Devices))
	}
	must("forget", s.Forget(t.Context(), []store.Forget{{Owner: at, User: "u", Refs: []store.Ref{{Priority: e.Message.Priority, Position: e.Position}}}})...)
	must("mark", s.SetCacheMark(t.Context(), at, store.CacheMark{Generation: 1, History: "one"}))
	marks, err := s.CacheMarks(t.Context(), ids)
	if must("marks", err); len(marks) != 1 || marks[0].Generation != 1 {
		t.Errorf("marks %+v", marks)
	}
	last, err := s.LastEpoch(t.Context())
	if must("last epoch", err); last != 1 {
		t.Errorf("the last epoch is %d", last)
	}
	must("leave", s.Renew(t.Context(), "owner", 0))
}
