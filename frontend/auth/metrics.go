package auth

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// The kinds of files that are followed: the closed set of the label what.
const (
	whatTokens = "tokens"
	whatKeys   = "keys"
	whatCerts  = "certificates"
)

// metrics counts what went in and what was refused. A nil *metrics counts nothing.
type metrics struct {
	tokensGood, tokensRefused prometheus.Counter
	keysGood, keysRefused     prometheus.Counter
	reloads                   *prometheus.CounterVec // what, result
	broken                    *prometheus.GaugeVec   // what
	certExpires               *prometheus.GaugeVec   // file
	left                      *prometheus.GaugeVec   // reason
}

// newMetrics registers with r; a nil r leaves them unregistered.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	checks := f.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_auth_checks_total", Help: "Credentials checked: tokens of devices and API keys of backends, by result.",
	}, []string{"what", "result"})
	m := &metrics{
		tokensGood: checks.WithLabelValues(whatTokens, "good"), tokensRefused: checks.WithLabelValues(whatTokens, "refused"),
		keysGood: checks.WithLabelValues(whatKeys, "good"), keysRefused: checks.WithLabelValues(whatKeys, "refused"),
		reloads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "ramen_auth_reloads_total", Help: "Reloads of key and certificate files, by result.",
		}, []string{"what", "result"}),
		broken: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ramen_auth_broken_sources", Help: "1 if a source's key or certificate file is broken or missing, so that the earlier one is still in use.",
		}, []string{"what"}),
		certExpires: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ramen_auth_certificate_expires_seconds", Help: "Time at which the certificate expires, in seconds since 1970.",
		}, []string{"file"}),
		left: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ramen_auth_left_out_keys", Help: "Keys of the current JSON Web Key Set that were skipped, by reason; tokens signed with them are refused.",
		}, []string{"reason"}),
	}
	for _, what := range []string{whatTokens, whatKeys, whatCerts} {
		m.reloads.WithLabelValues(what, "good")
		m.reloads.WithLabelValues(what, "refused")
		m.broken.WithLabelValues(what)
	}
	for _, reason := range leftReasons {
		m.left.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) token(err error) {
	switch {
	case m == nil:
	case err == nil:
		m.tokensGood.Inc()
	default:
		m.tokensRefused.Inc()
	}
}

func (m *metrics) key(err error) {
	switch {
	case m == nil:
	case err == nil:
		m.keysGood.Inc()
	default:
		m.keysRefused.Inc()
	}
}

func (m *metrics) reloaded(what string, err error) {
	result := "good"
	if err != nil {
		result = "refused"
	}
	m.reloads.WithLabelValues(what, result).Inc()
}

// keysLeft says what the keys in force were chosen from.
func (m *metrics) keysLeft(left []sourceKey) {
	if m == nil {
		return
	}
	count := map[string]int{}
	for _, k := range left {
		count[k.unfit.reason]++
	}
	for _, reason := range leftReasons {
		m.left.WithLabelValues(reason).Set(float64(count[reason]))
	}
}

func (m *metrics) certificate(file string, expires time.Time) {
	if m != nil {
		m.certExpires.WithLabelValues(file).Set(float64(expires.Unix()))
	}
}
