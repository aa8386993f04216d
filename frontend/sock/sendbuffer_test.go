package sock

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestSendBufferIsAQueue compares with a plain slice.
func TestSendBufferIsAQueue(t *testing.T) {
	rnd := seeded(t)
	for range 200 {
		var s sendBuffer
		var model []byte
		for range 200 {
			if rnd.IntN(3) > 0 || s.n == 0 {
				b := noise(rnd, 1+rnd.IntN(1<<rnd.IntN(14)))
				s.add(b)
				model = append(model, b...)
			} else if rnd.IntN(2) == 0 {
				n := 1 + rnd.IntN(s.n)
				s.drop(n)
				model = model[n:]
			} else {
				b := s.takeChunk()
				if !bytes.HasPrefix(model, b) || len(b) == 0 {
					t.Fatal("the chunk taken is not the oldest")
				}
				s.sent(len(b))
				model = model[len(b):]
			}
			if got := bytes.Join(s.chunks, nil); s.n != len(model) || !bytes.Equal(got, model) {
				t.Fatalf("%d bytes, counted as %d, should be %d", len(got), s.n, len(model))
			}
			if err := s.check(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSmallWritesShareChunks(t *testing.T) {
	var s sendBuffer
	for range 10000 {
		s.add([]byte("\n"))
	}
	if len(s.chunks) > 20 {
		t.Errorf("10000 bytes are in %d chunks", len(s.chunks))
	}
	room := 0
	for _, c := range s.chunks {
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

// Bytes over the low-water mark are stalled until the socket is writable, whatever is buffered behind them meanwhile.
func TestBytesOverLowatStall(t *testing.T) {
	s := new(sendBuffer)
	s.addOverLowat(10)
	s.since -= time.Hour
	s.add([]byte("more"))
	if d := s.stalled(); d < time.Hour {
		t.Errorf("stalled for %v", d)
	}
	if n := s.dropOverLowat(); n != 10 || s.buffered() != 4 || s.stalled() > time.Minute {
		t.Errorf("%d went out, %d are left, stalled for %v", n, s.buffered(), s.stalled())
	}
}
