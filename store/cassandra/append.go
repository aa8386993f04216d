package cassandra

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
)

const insertStep = "INSERT INTO messages (shard, user, epoch, slot, micros, nonce, step) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?"

// Append implements store.Store. Each element is a request of its own.
func (s *Store) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	if err := s.enter(); err != nil {
		for i := range batch {
			answer(i, s.wrap("append", batch[i].User, err))
		}
		return
	}
	defer s.calls.Done()
	for i := range batch {
		a := &batch[i]
		if len(a.Entries)+len(a.Kills) == 0 {
			answer(i, s.fence(a.Owner))
			continue
		}
		size, err := s.admit(ctx, a)
		if err != nil {
			answer(i, s.wrap("append", a.User, err))
			continue
		}
		s.calls.Add(1)
		s.workers.do(func() {
			began := time.Now()
			err := s.append(ctx, a)
			s.metrics.observe(callAppend, began, err)
			s.gate.leave(size)
			answer(i, s.wrap("append", a.User, err))
			s.calls.Done()
		})
	}
}

// admit answers how much a takes of what may be under way.
func (s *Store) admit(ctx context.Context, a *store.Append) (size int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := checkStep(a); err != nil {
		return 0, err
	}
	if err := s.fence(a.Owner); err != nil {
		return 0, err
	}
	size = stepSize(a.Entries, a.Kills)
	if err := s.gate.enter(size); err != nil {
		s.metrics.errors[reasonOverloaded].Inc()
		return 0, err
	}
	return size, nil
}

// stepWrite is an Append as it is written: one row, or one of entries and one of kills, both in one partition.
type stepWrite struct {
	shard  protocol.ShardID
	user   protocol.UserID
	bucket bucket
	micros uint64
	nonce  int64
	lanes  uint8 // a bit for each lane that it adds to or kills in
	others []otherBucket

	step, kills []byte // rows; kills is nil where there is none of its own
	stepTTL     int    // s
	killsTTL    int    // s
	expiresMS   int64  // Unix ms: the later of both
}

// otherBucket is one that has positions of a step's entries, and not the step: marks of these entries are looked for, and live, by it.
type otherBucket struct {
	bucket
	micros uint64 // the first of the positions
	lanes  uint8  // as of stepWrite
}

// addOther notes an entry that is not of the step's bucket.
func (w *stepWrite) addOther(b bucket, e *store.Entry) {
	n := len(w.others)
	if n == 0 || w.others[n-1].bucket != b {
		w.others = append(w.others, otherBucket{bucket: b, micros: e.Position.Micros})
	}
	o := &w.others[len(w.others)-1]
	o.micros = min(o.micros, e.Position.Micros)
	o.lanes |= 1 << e.Message.Priority.Lane()
}

func (s *Store) append(ctx context.Context, a *store.Append) error {
	nowMS := time.Now().UnixMilli()
	if err := s.flushForgets(ctx, userKey{a.Shard, a.User}); err != nil {
		return notWritten(err)
	}
	if err := s.knowTTL(ctx, a.Entries, nowMS); err != nil {
		return err
	}
	w := s.stepWrite(a, nowMS)
	if err := s.ensureIndexed(ctx, w, nowMS); err != nil {
		return notWritten(err)
	}
	return s.write(ctx, func(ctx context.Context) error { return s.putStep(ctx, w) })
}

// notWritten is the error of what came before a step: the step itself was not written, whatever became of that.
func notWritten(err error) error { return fmt.Errorf("nothing is written: %s", err.Error()) }

// killsApart is how much longer than a step's entries its kills must be kept to get a row of their own: payloads must not stay for them.
const killsApart = 5 * time.Minute

// stepWrite encodes a. Its place is the last position that it adds or kills: whoever reads from a position on meets every kill of what
// is behind that.
func (s *Store) stepWrite(a *store.Append, nowMS int64) *stepWrite {
	w := &stepWrite{shard: a.Shard, user: a.User, nonce: s.nonce.Add(1)}
	var last protocol.Position
	entriesUntil := nowMS
	if len(a.Entries) > 0 {
		entriesUntil += s.retention.Milliseconds()
	}
	for i := range a.Entries {
		e := &a.Entries[i]
		last = later(last, e.Position)
		entriesUntil = max(entriesUntil, e.Message.ExpiresMS)
		w.lanes |= 1 << e.Message.Priority.Lane()
	}
	killsUntil := nowMS
	for _, k := range a.Kills {
		last = later(last, k.Position)
		killsUntil = max(killsUntil, s.lifeLeft(a.Owner, a.User, k, nowMS))
		w.lanes |= 1 << k.Priority.Lane()
	}
	w.bucket, w.micros = s.bucketOf(last), last.Micros
	for i := range a.Entries {
		if b := s.bucketOf(a.Entries[i].Position); b != w.bucket {
			w.addOther(b, &a.Entries[i])
		}
	}
	w.expiresMS = max(entriesUntil, killsUntil)
	if len(a.Entries) > 0 && killsUntil > entriesUntil+killsApart.Milliseconds() {
		w.step, w.stepTTL = encodeStep(a.Entries, nil), s.ttlOf(entriesUntil, nowMS)
		w.kills, w.killsTTL = encodeStep(nil, a.Kills), s.ttlOf(killsUntil, nowMS)
		return w
	}
	w.step, w.stepTTL = encodeStep(a.Entries, a.Kills), s.ttlOf(w.expiresMS, nowMS)
	return w
}

func later(a, b protocol.Position) protocol.Position {
	if a.Less(b) {
		return b
	}
	return a
}

// longestTTL is Cassandra's, in s: 20 years.
const longestTTL = 630_720_000

// ttlOf is the seconds from nowMS to untilMS, and some more.
func (s *Store) ttlOf(untilMS, nowMS int64) int {
	left := time.Duration(max(untilMS-nowMS, 0)) * time.Millisecond
	return int(min((left+s.slack+time.Second-1)/time.Second, longestTTL))
}

// putStep writes w to one host.
func (s *Store) putStep(ctx context.Context, w *stepWrite) error {
	step := w.row(w.nonce, w.step, w.stepTTL)
	if w.kills == nil {
		return s.session.Query(insertStep, step.values[:]...).RoutingKey(step.key).ExecContext(ctx)
	}
	b := s.session.Batch(gocql.UnloggedBatch)
	b.Query(insertStep, step.values[:]...)
	b.Query(insertStep, w.row(^w.nonce, w.kills, w.killsTTL).values[:]...)
	return b.ExecContext(ctx)
}

// row is the values of insertStep as the servers have them. The driver would allocate each twice: as an interface, and encoded.
type row struct {
	key     []byte // of the partition: shard, user, epoch and slot are in it
	numbers [8 + 8 + 4]byte
	columns [8]column
	values  [8]any // pointers to columns
}

// column is a value that is encoded already.
type column []byte

// MarshalCQL implements gocql.Marshaler.
func (c *column) MarshalCQL(gocql.TypeInfo) ([]byte, error) { return *c, nil }

func (w *stepWrite) row(nonce int64, step []byte, ttl int) *row {
	r := &row{key: messagesKey(w.shard, w.user, w.bucket)}
	binary.BigEndian.PutUint64(r.numbers[:8], w.micros)
	binary.BigEndian.PutUint64(r.numbers[8:16], uint64(nonce))
	binary.BigEndian.PutUint32(r.numbers[16:], uint32(ttl))
	n := len(w.user)
	r.columns = [...]column{r.key[2:6], r.key[9 : 9+n], r.key[12+n : 20+n], r.key[23+n : 31+n], r.numbers[:8], r.numbers[8:16], step, r.numbers[16:]}
	for i := range r.columns {
		r.values[i] = &r.columns[i]
	}
	return r
}

// messagesKey and usersKey are partition keys as the driver hashes them: each part with its length before, and a zero behind.
func messagesKey(shard protocol.ShardID, user protocol.UserID, b bucket) []byte {
	k := usersKey(shard, user)
	k = append(k, 0, 8)
	k = append(binary.BigEndian.AppendUint64(k, uint64(b.epoch)), 0, 0, 8)
	return append(binary.BigEndian.AppendUint64(k, b.slot), 0)
}

func usersKey(shard protocol.ShardID, user protocol.UserID) []byte {
	k := make([]byte, 0, 7+3+len(user)+22)
	k = append(binary.BigEndian.AppendUint32(append(k, 0, 4), uint32(shard)), 0)
	k = binary.BigEndian.AppendUint16(k, uint16(len(user)))
	return append(append(k, user...), 0)
}
