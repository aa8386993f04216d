package system

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// metric is the sum of a metric's series, those alone that bear all of labels: `transport="sse"`.
func (s *server) metric(name string, labels ...string) float64 {
	s.t.Helper()
	return metricOf(s.backend("GET", "/metrics", "").body, name, labels...)
}

func metricOf(text, name string, labels ...string) (sum float64) {
lines:
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		at := strings.LastIndexByte(rest, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[at:]), 64)
		if err != nil {
			return -1
		}
		sum += v
	}
	return sum
}

// ledger is "" where the counts of SPEC 8 add up.
func ledger(text string) string {
	of := func(what string) float64 { return metricOf(text, "ramen_gateway_messages_"+what) }
	in := of("accepted_total") + of("loaded_total")
	out := of("acked_total") + of("expired_total") + of("collapsed_total") + of("recalled_total") + of("unloaded_total") + of("waiting")
	for _, what := range []string{"accepted_total", "loaded_total", "acked_total", "expired_total", "collapsed_total", "recalled_total", "unloaded_total", "waiting"} {
		if !strings.Contains(text, "\nramen_gateway_messages_"+what) {
			return "there is no metric ramen_gateway_messages_" + what
		}
	}
	if in != out {
		return fmt.Sprintf("the ledger does not add up: %v came in, %v left or wait", in, out)
	}
	return ""
}

// checkLedger waits until the server, left alone, says that its gauges are right and that its ledger adds up.
func (s *server) checkLedger() {
	s.t.Helper()
	until(s.t, "ledger", func() string {
		if r := s.backend("GET", "/debug/check", ""); r.status != http.StatusOK {
			return fmt.Sprintf("/debug/check: %d %s", r.status, r.body)
		}
		return ledger(s.backend("GET", "/metrics", "").body)
	})
}
