package sock

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestKeptIsAQueue compares with a plain slice.
func TestKeptIsAQueue(t *testing.T) {
	rnd := seeded(t)
	for range 200 {
		var k kept
		var model []byte
		for range 200 {
			if rnd.IntN(3) > 0 || k.n == 0 {
				b := noise(rnd, 1+rnd.IntN(1<<rnd.IntN(14)))
				k.add(b)
				model = append(model, b...)
			} else if rnd.IntN(2) == 0 {
				n := 1 + rnd.IntN(k.n)
				k.drop(n)
				model = model[n:]
			} else {
				b := k.take()
				if !bytes.HasPrefix(model, b) || len(b) == 0 {
					t.Fatal("the chunk taken is not the oldest")
				}
				k.out(len(b))
				model = model[len(b):]
			}
			if got := bytes.Join(k.chunks, nil); k.n != len(model) || !bytes.Equal(got, model) {
				t.Fatalf("%d bytes, counted as %d, should be %d", len(got), k.n, len(model))
			}
			if err := k.check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSmallWritesShareChunks(t *testing.T) {
	var k kept
	for range 10000 {
		k.add([]byte("\n"))
	}
	if len(k.chunks) > 20 {
		t.Errorf("10000 bytes are in %d chunks", len(k.chunks))
	}
	room := 0
	for _, c := range k.chunks {
		room += cap(c)
	}
	if room > 3*10000 {
		t.Errorf("10000 bytes take %d", room)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is wrong: %v", err)
	}
	bad := Config{Pollers: -1, MaxKept: 1, UserTimeout: time.Millisecond, KeepAlive: -1, SendBuffer: 1, NotSentLowat: -1}
	err := bad.Validate()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, field := range []string{"pollers", "max_kept", "flush", "linger", "user_timeout", "keep_alive", "send_buffer", "not_sent_lowat"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if _, err := NewLoop(bad); err == nil {
		t.Error("a loop starts with it")
	}
}

// Bytes that the socket took without having room are stalled until it has, whatever is kept behind them meanwhile.
func TestSunkBytesStallOn(t *testing.T) {
	k := new(kept)
	k.sink(10)
	k.since -= time.Hour
	k.add([]byte("more"))
	if d := k.stalled(); d < time.Hour {
		t.Errorf("stalled for %v", d)
	}
	if n := k.rise(); n != 10 || k.len() != 4 || k.stalled() > time.Minute {
		t.Errorf("%d have risen, %d are left, stalled for %v", n, k.len(), k.stalled())
	}
}
