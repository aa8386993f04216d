package cassandra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/storetest"
)

func TestBreakerLetsOneRequestThroughASecond(t *testing.T) {
	var b breaker
	now := int64(time.Hour)
	for i := range breakAfter {
		if !b.allow(now) {
			t.Fatalf("closed off after %d failures", i)
		}
		if opened := b.failed(now); opened != (i == breakAfter-1) {
			t.Fatalf("failure %d: opened %v", i, opened)
		}
	}
	if b.allow(now + int64(breakFor) - 1) {
		t.Error("a request went through before the time")
	}
	now += int64(breakFor)
	if !b.allow(now) || b.allow(now) {
		t.Error("half open, not one request went through")
	}
	if b.failed(now) {
		t.Error("told a second time that it is open")
	}
	if b.allow(now + int64(breakFor)/2) {
		t.Error("a failed probe did not keep it open")
	}
	b.answered()
	for range 2 {
		if !b.allow(now) || b.open() {
			t.Error("an answer did not close it")
		}
	}
	for range breakAfter - 1 {
		b.failed(now)
	}
	b.answered()
	if b.failed(now); b.open() {
		t.Error("failures that are not in a row opened it")
	}
}

func TestQuantileFollowsTheSlowestHundredth(t *testing.T) {
	var q quantile
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		q.add(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
	}
	above := 0
	for range 10_000 {
		d := time.Duration(rng.Int64N(int64(50 * time.Millisecond)))
		if d > q.get() {
			above++
		}
		q.add(d)
	}
	if above < 20 || above > 500 {
		t.Errorf("%d of 10,000 are above, 100 should be", above)
	}
	for range 100_000 {
		q.add(time.Microsecond)
	}
	if q.get() != slowLeast {
		t.Errorf("it is %v, and must not be below %v", q.get(), slowLeast)
	}
}

// A write is refused where it is certain that no replica has it, or will: else its outcome is unknown.
func TestFaultsOfWrites(t *testing.T) {
	for _, c := range []struct {
		err     error
		unknown bool
		again   bool
	}{
		{context.DeadlineExceeded, true, true},
		{gocql.ErrTimeoutNoResponse, true, true},
		{gocql.ErrConnectionClosed, true, true},
		{io.EOF, true, true},
		{fmt.Errorf("write: %w", io.ErrClosedPipe), true, true},
		{gocql.ErrNoConnections, false, true},
		{gocql.ErrNoStreams, false, true},
		{coded(gocql.ErrCodeUnavailable), false, true},
		{coded(gocql.ErrCodeOverloaded), false, true},
		{coded(gocql.ErrCodeBootstrapping), false, true},
		{coded(gocql.ErrCodeWriteTimeout), true, true},
		{coded(gocql.ErrCodeWriteFailure), true, true},
		{coded(gocql.ErrCodeCASWriteUnknown), true, true},
		{coded(gocql.ErrCodeServer), true, true},
		{coded(gocql.ErrCodeInvalid), false, false},
		{coded(gocql.ErrCodeUnauthorized), false, false},
	} {
		if f := faultOf(c.err); f.unknown != c.unknown || f.again != c.again {
			t.Errorf("%v: unknown %v, again %v; want %v, %v", c.err, f.unknown, f.again, c.unknown, c.again)
		}
	}
}

// coded is an error as a host answers it.
type coded int

func (c coded) Code() int       { return int(c) }
func (c coded) Message() string { return "" }
func (c coded) Error() string   { return fmt.Sprintf("code %#x", int(c)) }

// TestOneMaybeMakesItUnknown: a write that one host may have done is unknown, whatever the next one says.
func TestOneMaybeMakesItUnknown(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []error
		unknown bool
		ok      bool
	}{
		{"refused by all", []error{coded(gocql.ErrCodeUnavailable), coded(gocql.ErrCodeUnavailable), coded(gocql.ErrCodeUnavailable)}, false, false},
		{"refused behind a time-out", []error{context.DeadlineExceeded, coded(gocql.ErrCodeUnavailable), coded(gocql.ErrCodeOverloaded)}, true, false},
		{"wrong behind a time-out", []error{coded(gocql.ErrCodeWriteTimeout), coded(gocql.ErrCodeInvalid)}, true, false},
		{"done behind a time-out", []error{context.DeadlineExceeded, nil}, false, true},
	} {
		s := bare(t)
		n := 0
		err := s.write(t.Context(), func(ctx context.Context) error {
			ctx.(*attempt).host = new(gocql.HostInfo)
			n++
			return c.answers[n-1]
		})
		if (err == nil) != c.ok || errors.Is(err, store.ErrUnknown) != c.unknown || n != len(c.answers) {
			t.Errorf("%s: %v after %d attempts", c.name, err, n)
		}
	}
}

// pick asks the policy for hosts as the driver does that finds a connection to none of so many, or to the last.
func pick(s *Store, hosts []*gocql.HostInfo, a *attempt, last bool) {
	i := 0
	next := (&policy{inOrder{next: func() gocql.SelectedHost {
		if i++; i > len(hosts) {
			return nil
		}
		return sameHost{hosts[i-1]}
	}}, s.breakers}).Pick(statement{a: a})
	for h := next(); h != nil && !(last && h.Info() == hosts[len(hosts)-1]); h = next() {
	}
}

// inOrder is a policy of one order of hosts.
type inOrder struct {
	gocql.HostSelectionPolicy
	next gocql.NextHost
}

func (o inOrder) Pick(gocql.ExecutableStatement) gocql.NextHost { return o.next }

// statement is what the driver has a host picked for.
type statement struct {
	gocql.ExecutableStatement
	a *attempt
}

func (s statement) Context() context.Context { return s.a }

// TestWithoutAConnectionCallsPause, and go on with the first host that has one; and that they found none says nothing of hosts.
func TestWithoutAConnectionCallsPause(t *testing.T) {
	hosts := []*gocql.HostInfo{{}, {}, {}}
	for what, do := range map[string]func(s *Store, ctx context.Context, run func(ctx context.Context) error) error{
		"write": (*Store).write,
		"read": func(s *Store, ctx context.Context, run func(ctx context.Context) error) error {
			_, err := read(ctx, s, func(ctx context.Context) (struct{}, error) { return struct{}{}, run(ctx) })
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := bare(t)
				for range breakAfter {
					s.breakers.host("").failed(s.breakers.now())
				}
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				began := time.Now()
				var tries atomic.Int32 // by a hedged read, too
				err := do(s, ctx, func(ctx context.Context) error {
					tries.Add(1)
					pick(s, hosts, ctx.(*attempt), false)
					return gocql.ErrNoConnections
				})
				if took := time.Since(began); err == nil || errors.Is(err, store.ErrUnknown) || took != 500*time.Millisecond || tries.Load() > 21 {
					t.Errorf("%v after %d tries in %v", err, tries.Load(), took)
				}
				if !s.breakers.host("").open() {
					t.Error("hosts that were not asked are taken for well")
				}
				ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				s.requests.Wait()
				tries.Store(0)
				if err := do(s, ctx, func(ctx context.Context) error {
					n := tries.Add(1)
					pick(s, hosts, ctx.(*attempt), n == 3)
					if n < 3 {
						return gocql.ErrNoConnections
					}
					return nil
				}); err != nil {
					t.Errorf("%v, and a host has a connection again", err)
				}
				s.requests.Wait()
			})
		})
	}
}

// TestBucketsAreSortedInTime that grows with what is forgotten, and not with its square; and each ref is there once.
func TestBucketsAreSortedInTime(t *testing.T) {
	s := bare(t)
	sorted := func(n int) time.Duration {
		refs := make([]store.Ref, 0, 2*n)
		for i := range 2 * n {
			refs = append(refs, store.Ref{Priority: protocol.PriorityHigh, Position: protocol.Position{Epoch: 1, Micros: uint64(i%n) + 1}})
		}
		fastest := time.Duration(math.MaxInt64)
		for range 5 {
			began := time.Now()
			m := s.bucketsOf(refs)
			fastest = min(fastest, time.Since(began))
			all := 0
			for b, refs := range m {
				for _, ref := range refs {
					if all++; s.bucketOf(ref.Position) != b {
						t.Fatalf("%v is in %v", ref, b)
					}
				}
			}
			if all != n {
				t.Fatalf("%d refs, want %d", all, n)
			}
		}
		return fastest
	}
	const n, times = 500, 32
	if few, many := sorted(n), sorted(times*n); many > few*times*times/4 {
		t.Errorf("%d refs take %v, %d times as many %v", n, few, times, many)
	}
}

// bare is a store without a cluster.
func bare(t *testing.T) *Store {
	t.Helper()
	s := &Store{cfg: defaults(), log: logOf(driver.Params{}), breakers: &breakers{started: time.Now()}, slot: time.Minute, slack: defaultSlack}
	s.init()
	s.metrics = newMetrics(s)
	return s
}

// TestReadsAreHedged: the second request answers while the first hangs, and an error of one is no answer while another may succeed.
func TestReadsAreHedged(t *testing.T) {
	s := bare(t)
	begun := make(chan struct{}, attempts)
	first := make(chan struct{}, 1)
	first <- struct{}{}
	v, err := read(t.Context(), s, func(ctx context.Context) (int, error) {
		ctx.(*attempt).host = new(gocql.HostInfo)
		begun <- struct{}{}
		select {
		case <-first: // the first hangs
			<-ctx.Done()
			return 0, ctx.Err()
		default:
		}
		if len(begun) == 2 {
			return 0, coded(gocql.ErrCodeReadTimeout)
		}
		return 7, nil
	})
	if v != 7 || err != nil {
		t.Errorf("%d, %v", v, err)
	}
	s.requests.Wait()
}

func TestIndexForgetsTheOldestHalf(t *testing.T) {
	var x index
	x.init()
	key := func(i int) indexKey {
		return indexKey{shard: 1, user: "u", bucket: bucket{epoch: 1, slot: uint64(i)}, priority: protocol.PriorityHigh}
	}
	for i := range indexMost + 10 {
		x.put(key(i), int64(i+1), 0)
	}
	if got := x.life(key(5)).untilMS; got != 6 { // of the older generation: it is kept for being asked for
		t.Errorf("expiry %d, want 6", got)
	}
	for i := range indexMost {
		x.put(key(indexMost+10+i), 1, 0)
	}
	if got := x.life(key(6)).untilMS; got != 0 {
		t.Errorf("expiry %d of what nobody asked for", got)
	}
	if n := len(x.recent.of) + len(x.previous.of); n > 2*indexMost {
		t.Errorf("%d items are remembered", n)
	}
}

// TestBeyondTheBoundAppendsAreRefusedAtOnce, and nothing waits.
func TestBeyondTheBoundAppendsAreRefusedAtOnce(t *testing.T) {
	s := bare(t)
	s.shards = make([]shard, 8)
	s.gate.mostCalls, s.gate.mostBytes = 2, 1<<20
	for range 2 {
		if err := s.gate.enter(100); err != nil {
			t.Fatal(err)
		}
	}
	a := store.Append{Owner: store.Owner{Shard: 1, Epoch: 1}, User: "u", Entries: []store.Entry{message(1)}}
	if err := storetest.Append(t.Context(), s, []store.Append{a})[0]; !errors.Is(err, errOverloaded) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("append: %v", err)
	}
	s.gate.leave(100)
	if err := s.gate.enter(2 << 20); !errors.Is(err, errOverloaded) {
		t.Errorf("enter beyond the bytes: %v", err)
	}
	if n := s.gate.calls.Load(); n != 1 {
		t.Errorf("%d are under way, want 1", n)
	}
}

// TestDamageIsToldAndNeverAMessage flips each bit of a step, and of the items of a user.
func TestDamageIsToldAndNeverAMessage(t *testing.T) {
	e := message(1)
	e.Device, e.Where = "phone", map[string]string{"os": "ios"}
	want := step{entries: []store.Entry{e}, kills: []store.Ref{{Priority: protocol.PriorityLow, Position: e.Position}}}
	value := encodeStep(want.entries, want.kills)
	got, err := decodeStep(value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	each := func(what string, value []byte, decode func([]byte) error) {
		for i := range value {
			for bit := range 8 {
				value[i] ^= 1 << bit
				var damaged *damageError
				if err := decode(value); !errors.As(err, &damaged) {
					t.Fatalf("%s with bit %d of byte %d flipped: %v", what, bit, i, err)
				}
				value[i] ^= 1 << bit
			}
			if decode(value[:i]) == nil {
				t.Fatalf("%s cut to %d bytes was read", what, i)
			}
		}
	}
	each("step", value, func(v []byte) error { _, err := decodeStep(v); return err })
	d := store.Device{ID: "phone", Context: &protocol.DeviceContext{App: "a"}}
	each("device", encodeDevice(&d), func(v []byte) error { _, err := decodeDevice(deviceItem(d.ID), v); return err })
	x := indexed{bucket: bucket{1, 2}, priority: protocol.PriorityHigh, expiresMS: 3}
	each("index", x.value(), func(v []byte) error { _, err := decodeIndexed(x.item(), v); return err })
	each("refs", encodeRefs(want.kills), func(v []byte) error { _, err := decodeRefs(v); return err })
	each("floor", encodeFloor(e.Position, e.Position, e.Position), func(v []byte) error { return raiseFloor(new(protocol.Positions), []byte{itemFloor}, v) })
}

// TestRowsAreEncodedAsTheDriverDoes: what is sent of a step is what the driver would send of its plain values.
func TestRowsAreEncodedAsTheDriverDoes(t *testing.T) {
	w := stepWrite{shard: 1023, user: "é user", bucket: bucket{1<<64 - 1, 3}, micros: 1<<63 + 5}
	nonce, step := int64(-7), []byte("step")
	plain := []any{int32(w.shard), string(w.user), int64(-1), int64(3), int64(-1<<63 + 5), nonce, step, 630}
	types := []gocql.Type{gocql.TypeInt, gocql.TypeVarchar, gocql.TypeBigInt, gocql.TypeBigInt, gocql.TypeBigInt, gocql.TypeBigInt, gocql.TypeBlob, gocql.TypeInt}
	r := w.row(nonce, step, 630)
	if n := strings.Count(insertStep, "?"); n != len(plain) || n != len(r.values) {
		t.Fatalf("%d values of %d", len(r.values), n)
	}
	for i, typ := range types {
		info := gocql.NewNativeType(4, typ, "")
		want, err := gocql.Marshal(info, plain[i])
		if err != nil {
			t.Fatal(err)
		}
		if got, err := gocql.Marshal(info, r.values[i]); err != nil || !bytes.Equal(got, want) {
			t.Errorf("value %d: %x, %v; want %x", i, got, err, want)
		}
	}
}

func FuzzDecodeStep(f *testing.F) {
	e := message(1)
	f.Add(encodeStep([]store.Entry{e}, []store.Ref{{Priority: protocol.PriorityLow, Position: e.Position}})[sealed:])
	f.Fuzz(func(t *testing.T, rest []byte) {
		value := seal(append(make([]byte, sealed), rest...), stepVersion)
		s, err := decodeStep(value)
		if err != nil {
			return
		}
		again, err := decodeStep(encodeStep(s.entries, s.kills))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("%+v, %v; want %+v", again, err, s)
		}
	})
}

// TestTimeStampsOrderOwners: any of a newer owner is above all of an older one, and one that began anew above what it gave before.
func TestTimeStampsOrderOwners(t *testing.T) {
	s := bare(t)
	s.shards = make([]shard, 2)
	older := store.Owner{Shard: 1, Epoch: 7}
	last := s.timestamp(older)
	for range 1000 {
		next := s.timestamp(older)
		if next <= last {
			t.Fatalf("%d behind %d", next, last)
		}
		last = next
	}
	if next := s.timestamp(store.Owner{Shard: 1, Epoch: 8}); next <= last {
		t.Errorf("of the newer owner %d, of the older %d", next, last)
	}
	again := bare(t)
	again.shards = make([]shard, 2)
	again.shards[1].again.Store(1)
	if next := again.timestamp(older); next <= last {
		t.Errorf("of the owner that began anew %d, before %d", next, last)
	}
	if ts := s.timestamp(store.Owner{Shard: 1, Epoch: mostEpoch}); ts < 0 {
		t.Errorf("of the last epoch: %d", ts)
	}
}

func TestReadyAfterFailures(t *testing.T) {
	var r readiness
	for range unreadyAfter - 1 {
		r.failed(io.EOF)
	}
	if err := r.now(); err != nil {
		t.Errorf("unready: %v", err)
	}
	r.failed(io.EOF)
	if err := r.now(); !errors.Is(err, io.EOF) {
		t.Errorf("ready: %v", err)
	}
	r.succeeded()
	if err := r.now(); err != nil {
		t.Errorf("unready: %v", err)
	}
}
