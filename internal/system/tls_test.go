package system

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"ramen/internal/testcert"
)

// encrypted is a server with TLS on all four ports, and client certificates on the backends' side.
func encrypted(t *testing.T) (*server, *testcert.Certificate) {
	a, dir := testcert.SelfSigned("authority"), t.TempDir()
	cfg := testConfig(t, memory)
	cfg.Auth.ReloadInterval = 100 * time.Millisecond
	own := a.Issue("ramen")
	var err error
	if cfg.TLS.Devices.CertFile, cfg.TLS.Devices.KeyFile, err = own.WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	cfg.TLS.Backends = cfg.TLS.Devices
	cfg.TLS.Backends.ClientCAFile = filepath.Join(dir, "clients.pem")
	writeFile(t, cfg.TLS.Backends.ClientCAFile, string(a.CertPEM))
	trusted := &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{own.TLS()}}
	return serveOver(t, cfg, &http.Transport{TLSClientConfig: trusted, ForceAttemptHTTP2: true}), a
}

// Every transport works over TLS, SSE over HTTP/2 and HTTP/1.1.
func TestTLSOnAllPorts(t *testing.T) {
	t.Parallel()
	s, _ := encrypted(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			user := "u-" + transport
			s.publishAll(numbered(user, "m", 20))
			p := place{user: user, device: "d1", window: 20, heartbeatMS: 1000}
			c := s.open(t, transport, p)
			if sse, ok := c.device.(*sseDevice); ok && sse.resp.ProtoMajor != 2 {
				t.Errorf("SSE came over %s", sse.resp.Proto)
			}
			equal(t, "pushed", c.ids(20), ordered(numbered(user, "m", 20)))
			s.publish(msg{"user": user, "id": "live", "priority": "high"})
			c.ackAll()
			equal(t, "live", c.ids(1), []string{"live"})
			c.ackAll()
			s.untilWaiting(user, 0)
			if transport == "poll" {
				return
			}
			s.backend("POST", "/v1/users/"+escape(user)+"/disconnect", "")
			expectEnd(t, transport, c.end(), "disconnected")
			s.untilOffline(user, "d1")
			c = s.open(t, transport, p)
			c.close()
			s.untilOffline(user, "d1")
		})
	}
	b, ctx := s.backends(t)
	if r, err := b.Publish(ctx, nil); err == nil || r != nil {
		t.Errorf("publish nothing: %v, %v", r, err)
	}
	t.Run("HTTP/1.1", func(t *testing.T) {
		h2 := s.web.Transport.(*http.Transport)
		h1 := &http.Transport{TLSClientConfig: h2.TLSClientConfig.Clone()}
		h1.TLSClientConfig.NextProtos = []string{"http/1.1"}
		s.web.Transport = h1
		defer func() { h1.CloseIdleConnections(); s.web.Transport = h2 }()
		c := s.open(t, "sse", place{user: "u1", device: "d1", heartbeatMS: 1000})
		if p := c.device.(*sseDevice).resp.Proto; p != "HTTP/1.1" {
			t.Errorf("SSE came over %s", p)
		}
		s.publish(msg{"user": "u1"})
		c.push()
		c.ackAll()
		c.close()
		s.untilOffline("u1", "d1")
	})
	s.checkLedger()
}

// Many streams share one HTTP/2 connection; the end of one is not that of others.
func TestTLSManyStreamsOnOneConnection(t *testing.T) {
	t.Parallel()
	s, _ := encrypted(t)
	var all []*conn
	for _, name := range []string{"d1", "d2", "d3", "d4", "d5"} {
		all = append(all, s.open(t, "sse", place{user: "u1", device: name}))
	}
	all[0].close()
	s.untilOffline("u1", "d1")
	again := s.open(t, "sse", place{user: "u1", device: "d2"})
	expectEnd(t, "sse", all[1].end(), "superseded")
	s.publish(msg{"user": "u1", "payload": string(make700K()[:60<<10])})
	for _, c := range append(all[2:], again) {
		c.push()
		c.ackAll()
	}
	s.checkLedger()
}

// A backend without a certificate of the configured authority does not come in; a device needs none.
func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	s, a := encrypted(t)
	wrong := testcert.SelfSigned("stranger").Issue("stranger").TLS()
	good := s.web.Transport
	for name, certs := range map[string][]tls.Certificate{"none": nil, "a stranger's": {wrong}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.Pool(), Certificates: certs}}
		s.web.Transport = tr
		for _, path := range []string{"/v1/users/u1/devices", "/healthz"} {
			if r, err := s.try("GET", s.backendURL(path), ""); err == nil {
				t.Errorf("with %s certificate: %d %s", name, r.status, r.body)
			}
		}
		b, ctx := s.backends(t)
		if _, err := b.Publish(ctx, nil); err == nil {
			t.Errorf("with %s certificate gRPC answered", name)
		}
		if r, err := s.try("GET", s.deviceURL("/healthz"), ""); err != nil || r.status != 200 {
			t.Errorf("a device with %s certificate: %+v, %v", name, r, err)
		}
		tr.CloseIdleConnections()
	}
	s.web.Transport = good
	s.checkLedger()
}

// Certificate files are read again when they change; streams that are open stay.
func TestTLSCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	s, a := encrypted(t)
	c := s.open(t, "sse", place{user: "u1", device: "d1"})
	next := a.Issue("next")
	if _, _, err := next.WriteFiles(filepath.Dir(s.cfg.TLS.Devices.CertFile)); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{s.addr.Devices, s.addr.DevicesGRPC, s.addr.Backends, s.addr.BackendsGRPC} {
		until(t, "the new certificate", func() string {
			x, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.Pool(), NextProtos: []string{"h2"}})
			if err != nil {
				return err.Error()
			}
			defer x.Close()
			return same("certificate", x.ConnectionState().PeerCertificates[0].Subject.CommonName, "next")
		})
	}
	s.publish(msg{"user": "u1"})
	c.push()
	writeFile(t, s.cfg.TLS.Devices.KeyFile, "broken")
	until(t, "the broken key", func() string { return same("broken", s.metric("ramen_auth_broken_sources") > 0, true) })
	if r := s.do("GET", s.deviceURL("/healthz"), ""); r.status != 200 {
		t.Errorf("with a broken key on disk: %d", r.status)
	}
	s.checkLedger()
}
