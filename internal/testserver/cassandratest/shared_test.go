package cassandratest

import (
	"testing"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m), faultproxy.Leaks()...) }

// TestSharedGivesEachTestItsKeyspace, empty, and drops it at the test's end.
func TestSharedGivesEachTestItsKeyspace(t *testing.T) {
	c := Shared(t)
	var first string
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			keyspace := c.Keyspace(t)
			if keyspace == first {
				t.Fatal("it has the keyspace of the first")
			}
			first = keyspace
			s := c.Session(t, keyspace)
			for _, statement := range []string{"CREATE TABLE t (k int PRIMARY KEY)", "INSERT INTO t (k) VALUES (1)"} {
				if err := s.Query(statement).Exec(); err != nil {
					t.Fatal(err)
				}
			}
			var k int
			if err := s.Query("SELECT k FROM t").Scan(&k); err != nil || k != 1 {
				t.Fatal(k, err)
			}
		})
	}
	var left int
	if err := c.Session(t, "").Query("SELECT count(*) FROM system_schema.keyspaces WHERE keyspace_name = ?", first).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d are left, %v", left, err)
	}
}
