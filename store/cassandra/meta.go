package cassandra

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store"
)

// The rows of meta.
const (
	metaSchema = "schema"     // the version of the tables: a number
	metaStore  = "store"      // about, in JSON
	metaMaxTTL = "max_ttl_ms" // the longest life of a message: a number, which is only ever raised
)

const (
	selectMeta = "SELECT value FROM meta WHERE name = ?"
	insertMeta = "INSERT INTO meta (name, value) VALUES (?, ?) IF NOT EXISTS"
	raiseMeta  = "UPDATE meta SET value = ? WHERE name = ? IF value = ?"
)

// about is what makes a store itself.
type about struct {
	Generation uint32 `json:"generation"`
	Key        []byte `json:"key"` // secret
	Shards     int    `json:"shards"`
	SlotMS     int64  `json:"slot_ms"`
}

func newAbout(shards int, slot time.Duration) about {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails
	return about{binary.BigEndian.Uint32(random[:]), random[4:], shards, slot.Milliseconds()}
}

// parseAbout reads what Init has written; shards 0: any number.
func parseAbout(value string, shards int) (a about, err error) {
	if value == "" {
		return a, errNoSchema
	}
	if err := json.Unmarshal([]byte(value), &a); err != nil {
		return a, fmt.Errorf("row 'store' of table meta: %w", err)
	}
	return a, a.check(shards)
}

func (a *about) check(shards int) error {
	switch {
	case len(a.Key) != 16 || a.Shards < 1 || a.SlotMS < 1:
		return errors.New("the store's identity cannot be read: row 'store' of table meta is damaged")
	case shards != 0 && a.Shards != shards:
		return fmt.Errorf("the store has %d shards, and %d are configured: the number is fixed when the store is made", a.Shards, shards)
	}
	return nil
}

func (a *about) identity() store.Identity {
	id := store.Identity{Generation: a.Generation}
	copy(id.Key[:], a.Key)
	return id
}

// errNoSchema is what Open says before Init.
var errNoSchema = errors.New("the keyspace has no tables of ramen: create them with \"ramen store init URL\"")

// readMeta reads a row, with every transaction that has changed it. It is "" where there is none.
func readMeta(ctx context.Context, session *gocql.Session, serial gocql.Consistency, name string) (value string, err error) {
	err = session.Query(selectMeta, name).Consistency(serial).ScanContext(ctx, &value)
	if errors.Is(err, gocql.ErrNotFound) {
		return "", nil
	}
	return value, err
}

// checkSchema reads the version of the tables.
func checkSchema(value string) error {
	n, err := strconv.Atoi(value)
	switch {
	case value == "":
		return errNoSchema
	case err != nil:
		return fmt.Errorf("the version of the tables is %q, and no number", value)
	case n > schemaVersion:
		return fmt.Errorf("the tables are of version %d: this release knows %d; use a newer one", n, schemaVersion)
	case n < schemaVersion:
		return fmt.Errorf("the tables are of version %d: bring them to %d with \"ramen store init URL\"", n, schemaVersion)
	}
	return nil
}

// readAbout reads what Init has written.
func (s *Store) readAbout(ctx context.Context, shards int) error {
	version, err := readMeta(ctx, s.session, s.serial(), metaSchema)
	var missing gocql.RequestError
	if errors.As(err, &missing) && missing.Code() == gocql.ErrCodeInvalid {
		return errNoSchema
	}
	if err != nil {
		return err
	}
	if err := checkSchema(version); err != nil {
		return err
	}
	value, err := readMeta(ctx, s.session, s.serial(), metaStore)
	if err != nil {
		return err
	}
	a, err := parseAbout(value, shards)
	if err != nil {
		return err
	}
	id := a.identity()
	s.identity.Store(&id)
	s.slot = time.Duration(a.SlotMS) * time.Millisecond
	s.shards = make([]shard, a.Shards)
	return s.readMaxTTL(ctx)
}

// readMaxTTL learns of longer messages that others have taken.
func (s *Store) readMaxTTL(ctx context.Context) error {
	ms, err := read(ctx, s, func(ctx context.Context) (int64, error) {
		value, err := readMeta(ctx, s.session, gocql.LocalQuorum, metaMaxTTL)
		if err != nil || value == "" {
			return 0, err
		}
		return strconv.ParseInt(value, 10, 64)
	})
	if err != nil {
		return fmt.Errorf("read the longest life of a message: %w", err)
	}
	s.raiseMaxTTL(ms)
	return nil
}

// learnTTL reads the longest life of a message again where a bucket lives longer than any does that is known here: an owner before may have
// taken a longer message after this one had claimed the shard.
func (s *Store) learnTTL(ctx context.Context, index []indexed) error {
	known := time.Now().UnixMilli() + s.longestMS() + s.slotMS() + s.slack.Milliseconds()
	for i := range index {
		if index[i].expiresMS > known {
			return s.readMaxTTL(ctx)
		}
	}
	return nil
}

func (s *Store) raiseMaxTTL(ms int64) {
	for last := s.maxTTLMS.Load(); last < ms && !s.maxTTLMS.CompareAndSwap(last, ms); last = s.maxTTLMS.Load() {
	}
}

// knowTTL has it be known to all that there are messages that live as long as entries, before they are written: a mark against one of
// them must live as long.
func (s *Store) knowTTL(ctx context.Context, entries []store.Entry, nowMS int64) error {
	longest := int64(0)
	for i := range entries {
		longest = max(longest, entries[i].Message.ExpiresMS-nowMS)
	}
	if longest <= s.maxTTLMS.Load() {
		return nil
	}
	longest = (longest/86_400_000 + 1) * 86_400_000 // whole days: it is not raised again for each message
	for {
		value, err := readMeta(ctx, s.session, s.serial(), metaMaxTTL)
		if err != nil {
			return notWritten(err)
		}
		if ms, _ := strconv.ParseInt(value, 10, 64); ms >= longest {
			s.raiseMaxTTL(ms)
			return nil
		}
		var expected any
		if value != "" {
			expected = value
		}
		applied, err := s.session.Query(raiseMeta, strconv.FormatInt(longest, 10), metaMaxTTL, expected).
			SerialConsistency(s.serial()).MapScanCASContext(ctx, make(map[string]any))
		if err != nil {
			return notWritten(err)
		}
		if applied {
			s.raiseMaxTTL(longest)
			return nil
		}
	}
}
