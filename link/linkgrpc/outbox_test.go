package linkgrpc

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"ramen/link/linkgrpc/frame"
)

// inBubble runs f in virtual time. Batches that are used again have channels, which no bubble shares with what is outside.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	batches = sync.Pool{New: batches.New}
	defer func() { batches = sync.Pool{New: batches.New} }()
	synctest.Test(t, f)
}

// word is a frame that can be told apart.
func word(text string) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, text...) }
}

// TestDeferredFramesGoWithTheNext: what was deferred is sent in order with what is put next, and by itself only once its time is over. What
// is put is sent at once.
func TestDeferredFramesGoWithTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOutbox(1<<20, func() { t.Error("the outbox is over its limit") })
		began := time.Now()
		sent := func(want string, after time.Duration) {
			t.Helper()
			b := o.next(t.Context())
			if got, took := string(b.bytes), time.Since(began); got != want || took != after {
				t.Errorf("sent %q after %v, want %q after %v", got, took, want, after)
			}
			o.done(b)
			began = time.Now()
		}
		o.putDeferred(word("a"))
		time.Sleep(deferredFor / 2)
		o.putDeferred(word("b")) // waits no longer for it
		sent("ab", deferredFor)

		o.putDeferred(word("c"))
		o.put(word("d"))
		sent("cd", 0)
		o.put(word("e")) // the timer of c is of no account
		sent("e", 0)
		time.Sleep(2 * deferredFor)
		began = time.Now()
		o.putDeferred(word("f"))
		sent("f", deferredFor)

		full := strings.Repeat("g", batchBytes)
		o.putDeferred(word(full))
		o.putDeferred(word("h")) // there is a full batch before it
		sent(full, 0)
		sent("h", 0)

		o.putDeferred(word("i"))
		o.close()
		sent("i", 0)
		if b := o.next(t.Context()); b != nil {
			t.Errorf("sent %q after the end", b.bytes)
		}
	})
}

// TestAcksAreDeferredWhileTheWindowIsWide: an ack waits for something to go with, but not where many pushes are unacked, or could not be.
func TestAcksAreDeferredWhileTheWindowIsWide(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		a := &attachment{line: &line{out: newOutbox(1<<20, func() {})}}
		took := func(s *stream) time.Duration {
			began := time.Now()
			s.Ack(1, "cursor")
			b := a.out.next(t.Context())
			r := frame.Read(b.bytes)
			var f frame.Frame
			if !r.Next(&f) || f.Kind != frame.KindStreamAck || f.ID != s.id {
				t.Errorf("sent %+v, want an ack of stream %d", f, s.id)
			}
			a.out.done(b)
			return time.Since(began)
		}
		wide, small := &stream{a: a, id: 1}, &stream{a: a, id: 2, prompt: true}
		if d := took(wide); d != deferredFor {
			t.Errorf("an ack waited for %v, want %v", d, deferredFor)
		}
		if d := took(small); d != 0 {
			t.Errorf("an ack of a stream with a small window waited for %v", d)
		}
		wide.unacked.Add(promptAcks)
		if d := took(wide); d != 0 {
			t.Errorf("an ack of %d pushes waited for %v", promptAcks, d)
		}
		if d := took(wide); d != deferredFor {
			t.Errorf("the ack after it waited for %v, want %v", d, deferredFor)
		}
	})
}

// TestStreamIsNoLargerThanItsSizeClass: there is one for each device.
func TestStreamIsNoLargerThanItsSizeClass(t *testing.T) {
	if size := unsafe.Sizeof(stream{}); size > 48 {
		t.Errorf("a stream takes %d bytes", size)
	}
}
