package controller

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func seed(t *testing.T) uint64 {
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("RAMEN_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		s = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with RAMEN_SEED=%d", s)
		}
	})
	return s
}
