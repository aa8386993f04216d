package workers

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"ramen/loadtest/devices"
	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
)

// Target is the server, and the credentials for it.
type Target struct {
	Devices      string   `json:"devices" yaml:"devices"`             // URL of the devices' HTTP port; several, separated by commas, are taken in turn by each device
	DevicesGRPC  string   `json:"devices_grpc" yaml:"devices_grpc"`   // host:port; several likewise
	Backends     string   `json:"backends" yaml:"backends"`           // URL of the backends' HTTP port
	BackendsGRPC string   `json:"backends_grpc" yaml:"backends_grpc"` // host:port; empty: publish over HTTP. Several, separated by commas, get the publish streams in turn
	Bare         string   `json:"bare" yaml:"-"`                      // host:port of the baseline server's publish port; wins over the others
	Key          string   `json:"key" yaml:"key"`                     // API key; better RAMEN_KEY in the environment
	Secret       string   `json:"secret" yaml:"secret"`               // HS256 secret that signs the devices' tokens; empty: none
	Issuer       string   `json:"issuer" yaml:"issuer"`
	Audience     string   `json:"audience" yaml:"audience"`
	CA           string   `json:"ca" yaml:"ca"`        // PEM file of the authorities to trust
	TLS          bool     `json:"tls" yaml:"tls"`      // gRPC ports speak TLS
	DevicesCA    string   `json:"devices_ca" yaml:"-"` // as CA, for the devices' ports alone
	Header       []string `json:"header" yaml:"header"`
}

// TLSConfig is the TLS configuration with the authorities in a file; nil: as the URL says, and cleartext for gRPC.
func (t *Target) TLSConfig(file string) (*tls.Config, error) {
	if !t.TLS && file == "" {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("workers: read the authorities: %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("workers: there is no certificate in %s", file)
		}
	}
	return cfg, nil
}

// Setup is everything that a worker needs to know.
type Setup struct {
	Target    Target        `json:"target"`
	Run       string        `json:"run"`
	Users     [2]uint32     `json:"users"` // from, to
	Devices   int           `json:"devices"`
	Mix       string        `json:"mix"`
	Heartbeat time.Duration `json:"heartbeat"`
	Window    int           `json:"window"`
	AckAfter  time.Duration `json:"ack_after"`
	Opening   int           `json:"opening"`
	Slack     time.Duration `json:"slack"`
	Forget    float64       `json:"forget"`
	Payload   int           `json:"payload"`
	Lanes     [3]int        `json:"lanes"`
	Streams   int           `json:"streams"` // of publishes
	Every     time.Duration `json:"every"`
	TTL       time.Duration `json:"ttl"`
	Deflate   bool          `json:"deflate"`
	Watched   bool          `json:"watched"` // Progress is shown
}

func (s *Setup) devices(expected *expect.Expectations) (devices.Config, error) {
	mix, err := devices.ParseMix(s.Mix)
	if err != nil {
		return devices.Config{}, fmt.Errorf("workers: check the mix: %w", err)
	}
	t, err := s.Target.TLSConfig(cmp.Or(s.Target.DevicesCA, s.Target.CA))
	cfg := devices.Config{
		URL: s.Target.Devices, GRPC: s.Target.DevicesGRPC, TLS: t, Header: s.Target.Header, Expected: expected, Users: s.Users, Each: s.Devices, Mix: mix,
		Heartbeat: s.Heartbeat, Window: s.Window, AckAfter: s.AckAfter, Opening: s.Opening, Slack: s.Slack, Forget: s.Forget, Deflate: s.Deflate, Watched: s.Watched,
	}
	if s.Target.Secret != "" {
		cfg.Token = newMint(&s.Target).token
	}
	return cfg, err
}

func (s *Setup) publisher(expected *expect.Expectations) (publisher.Config, error) {
	t, err := s.Target.TLSConfig(s.Target.CA)
	return publisher.Config{
		Bare: s.Target.Bare, GRPC: s.Target.BackendsGRPC, URL: s.Target.Backends, TLS: t, Key: s.Target.Key, Expected: expected, Users: s.Users, Streams: s.Streams,
		Every: s.Every, Payload: s.Payload, Lanes: s.Lanes, TTL: s.TTL,
	}, err
}
