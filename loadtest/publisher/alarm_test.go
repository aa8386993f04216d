package publisher

import (
	"context"
	"errors"
	"testing"
	"time"

	"ramen/loadtest/stats"
)

func TestAlarmNeverRingsEarly(t *testing.T) {
	a := newAlarm(t.Context())
	defer a.close()
	for i := range int64(200) {
		at := stats.Now() + i*5
		if err := a.wait(at); err != nil {
			t.Fatal(err)
		}
		if now := stats.Now(); now < at {
			t.Fatalf("%d µs early", at-now)
		}
	}
}

func TestAlarmEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := newAlarm(ctx)
	defer a.close()
	ended := make(chan error, 1)
	go func() { ended <- a.wait(stats.Now() + time.Hour.Microseconds()) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := a.wait(stats.Now() + 10); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
