package config

import (
	"math"
	"testing"
)

func TestSizesReadBackAsWritten(t *testing.T) {
	for _, b := range []Bytes{0, 1, 1000, 1024, 1025, 64 << 20, 3 << 29, 1 << 40, math.MaxInt64} {
		got, err := ParseBytes(b.String())
		if err != nil || got != b {
			t.Errorf("%d was written %s and read %d, %v", b, b, got, err)
		}
	}
	for text, want := range map[string]Bytes{"1 KiB": 1024, "1.5MiB": 3 << 19, "10MB": 1e7, "5B": 5, "1kB": 1000} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%s was read %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5", "0.3KiB", "1e3", "1e30TiB", "9223372036854775807KiB", "NaN", "Inf", "KiB", "1_000", "0x10"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q was read %d", text, got)
		}
	}
}

func TestDurationsReadBackAsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"30m": "30m", "90s": "1m30s", "24h": "24h", "720h": "30d", "30d": "30d", "1d12h": "36h", "0": "0s", "1h0m5s": "1h0m5s", "500ms": "500ms", "-1s": "-1s", "10m": "10m", "10h": "10h",
	} {
		d, err := parseDuration(text)
		if err != nil || formatDuration(d) != want {
			t.Errorf("%s was read %v, written %s, %v; want %s", text, d, formatDuration(d), err, want)
		}
		if again, err := parseDuration(want); err != nil || again != d {
			t.Errorf("%s was read %v, %v; want %v", want, again, err, d)
		}
	}
	for _, text := range []string{"", "4", "d", "-1d", "1.5d", "1d-5h", "1d+5h", "1d5", "99999999d", "1x"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("%q was read %v", text, d)
		}
	}
}

func TestNearestIsOneSlipAway(t *testing.T) {
	names := []string{"listen", "origins", "ack_timeout", "window"}
	for s, want := range map[string]string{"listne": "listen", "orgins": "origins", "acktimeout": "ack_timeout", "Window": "window", "zebra": "", "": ""} {
		if got, _ := nearest(s, names); got != want {
			t.Errorf("nearest to %q is %q, want %q", s, got, want)
		}
	}
	if d := distance("ca", "abc", 9); d != 3 {
		t.Errorf("distance is %d", d)
	}
}
