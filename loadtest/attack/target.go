package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// target is the server as canaries and attackers know it.
type target struct {
	Devices, DevicesGRPC, Backends, BackendsGRPC string // host:port
	Secret                                       []byte // of the devices' tokens
	Key                                          string // a backend's
	CA                                           string // the file of the devices' ports' authority; empty: they speak no TLS
	Short                                        bool   // the attack is to be a small one

	mu     sync.Mutex
	counts map[string]int64 // guarded by mu: what the attacker did, and what it met
}

// n is how many of something an attack has, in its long and its short form.
func (t *target) n(long, short int) int {
	if t.Short {
		return short
	}
	return long
}

func (t *target) count(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]int64)
	}
	t.counts[what] += int64(n)
}

// did is all that was counted.
func (t *target) did() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(t.counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", t.counts[k], k))
	}
	return strings.Join(parts, ", ")
}

// failPause is between two attempts of one attacker of which the first failed.
const failPause = 20 * time.Millisecond

// each runs n attackers at once, and does the same again with each until ctx ends. A connection that the server ends is opened anew.
func (t *target) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := do(ctx, i); err != nil && ctx.Err() == nil {
					t.count("cut or refused", 1)
					sleep(ctx, failPause)
				}
			}
		})
	}
}

// dial connects; the connection is closed when ctx ends, or by the caller.
func (t *target) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	t.count("connections", 1)
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return &conn{c, stop}, nil
}

// conn is a connection that no longer waits for its context once it is closed.
type conn struct {
	net.Conn
	stop func() bool
}

func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// tls is how the devices' ports are spoken to; nil: in cleartext.
func (t *target) tls(protocols ...string) *tls.Config {
	if t.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return &tls.Config{}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: protocols}
}

// token is what a device shows.
func (t *target) token(user, device string) string {
	claims := jwt.MapClaims{"sub": user, "device": device, "exp": time.Now().Add(time.Hour).Unix()}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(t.Secret)
	if err != nil {
		return ""
	}
	return text
}

// client is an HTTP client for n connections at once.
func client(n int) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: n}}
}

// message is a publish in HTTP's form.
type message map[string]any

// publish posts a batch and returns how many were accepted; why others were not is counted.
func (t *target) publish(ctx context.Context, c *http.Client, batch []message) (accepted int, err error) {
	body, err := json.Marshal(map[string]any{"messages": batch})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+t.Backends+"/v1/publish", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+t.Key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("publish: %s: %.200s", resp.Status, text)
	}
	var answer struct {
		Results []struct {
			Status string
			Error  struct{ Code string }
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return 0, err
	}
	for _, r := range answer.Results {
		if r.Status == "accepted" {
			accepted++
		} else {
			t.count(r.Status+" "+r.Error.Code, 1)
		}
	}
	t.count("accepted", accepted)
	return accepted, nil
}

// poll opens a stream by a poll that does not wait, and so makes a device known.
func (t *target) poll(ctx context.Context, c *http.Client, user, device, query string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Devices+"/ramen/poll?wait=0"+query, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.token(user, device))
	return t.do(c, req)
}

// get asks the backends' port.
func (t *target) get(ctx context.Context, c *http.Client, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Backends+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+t.Key)
	return t.do(c, req)
}

func (t *target) do(c *http.Client, req *http.Request) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", req.URL.Path, resp.Status)
	}
	return err
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
