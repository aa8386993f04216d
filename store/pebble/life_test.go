package pebble

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ramen/protocol"
	"ramen/store"
)

// cpu is the process's time so far, in user and system mode.
func cpu(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkLife is the life of a message in groups of so many: it is appended, durably; some groups later it is forgotten,
// and where its device stands is saved. An op is one message, of one of 5,000 users.
func BenchmarkLife(b *testing.B) {
	for _, size := range []int{1, 20, 200} {
		b.Run(fmt.Sprint("group", size), func(b *testing.B) {
			s := benchStore(b)
			l := life{b: b, s: s}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			for n := 0; n < b.N; n += size {
				l.publish(min(size, b.N-n))
				if len(l.waiting) >= 4096 {
					l.ack()
				}
			}
			l.ack()
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// life is one publisher, and the devices of its users.
type life struct {
	b       *testing.B
	s       *Store
	micros  uint64
	batch   []store.Append
	waiting []store.Forget
}

func (l *life) publish(n int) {
	for len(l.batch) < n {
		l.batch = append(l.batch, store.Append{Owner: owner, Entries: make([]store.Entry, 1)})
	}
	batch := l.batch[:n]
	for i := range batch {
		l.micros++
		e := entry(fmt.Sprint("0198f3c2-7d1e-7c44-9a55-", l.micros), protocol.PriorityMedium, l.micros)
		e.Message.Payload = payload
		batch[i].User, batch[i].Entries[0] = protocol.UserID(fmt.Sprint("user-", l.micros%5000)), e
		l.waiting = append(l.waiting, store.Forget{Owner: owner, User: batch[i].User, Refs: []store.Ref{placeOf(e)}})
	}
	l.s.Append(context.Background(), batch, func(_ int, err error) {
		if err != nil {
			l.b.Error(err)
		}
	})
}

// ack forgets what was published, and saves as many devices.
func (l *life) ack() {
	if err := errors.Join(l.s.Forget(context.Background(), l.waiting)...); err != nil {
		l.b.Fatal(err)
	}
	saves := make([]store.DeviceSave, 0, len(l.waiting))
	for i := range l.waiting {
		d := store.Device{ID: "phone", Greeted: true, LastSeenMS: 1, Acked: protocol.Cursor{Seq: protocol.Seq(l.micros)}}
		saves = append(saves, store.DeviceSave{Owner: owner, User: l.waiting[i].User, Device: d})
	}
	if err := errors.Join(l.s.SaveDevices(context.Background(), saves, false)...); err != nil {
		l.b.Fatal(err)
	}
	l.waiting = l.waiting[:0]
}
