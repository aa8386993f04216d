package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"ramen/internal/app"
	"ramen/internal/testapp"
	"ramen/internal/testcert"
)

// guarded starts the product with authentication, and TLS for devices where secure is set. It answers where it is and a file with a token
// of alice's phone.
func guarded(t *testing.T, secure bool) (at app.Addresses, token string) {
	t.Helper()
	dir := t.TempDir()
	secret := write(t, filepath.Join(dir, "secret"), strings.Repeat("s", 40))
	keys := filepath.Join(dir, "keys.yaml")
	good(t, "", "token", "--backend", "any", "--keys-file", keys)
	cfg := testapp.Config(t)
	cfg.Dev = false
	cfg.Auth.Tokens.SecretFile, cfg.Auth.Keys.File = secret, keys
	if secure {
		cfg.TLS.Devices.CertFile, cfg.TLS.Devices.KeyFile = certificate(t, dir)
	}
	token = write(t, filepath.Join(dir, "token"), good(t, "", "token", "--secret-file", secret, "--user", "alice", "--device", "phone"))
	return testapp.Serve(t, cfg), token
}

// certificate writes one for the name localhost alone that nobody vouches for.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := testcert.SelfSigned("ramen", "localhost").WriteFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// TestFix13ListenGivesUpWhatCannotSucceed, with the reason and the cure; and though the token is in a file, which may change.
func TestFix13ListenGivesUpWhatCannotSucceed(t *testing.T) {
	at, token := guarded(t, false)
	for _, transport := range []string{"ws", "ws-json", "sse", "poll", "grpc"} {
		listen := []string{"listen", "-q", "--token-file", token, "--url", "http://" + at.Devices, "--grpc", at.DevicesGRPC, "--transport", transport}
		bad(t, "", append(listen, "--device", "phone", "--user", "bob"), "permission_denied", "leave out --user")
		bad(t, "", append(listen, "--device", "tablet"), "permission_denied", "the --user and --device that the token names")
		wrong := append(listen, "--device", "phone", "--url", "http://"+at.Backends, "--grpc", at.BackendsGRPC)
		bad(t, "", wrong, "and not the backends'?")
		secure := append(listen, "--device", "phone", "--url", "https://"+at.Devices, "--grpc", "https://"+at.DevicesGRPC)
		bad(t, "", secure, "The port speaks cleartext")
	}
	bad(t, "", []string{"listen", "-q", "--token", "a.b.c", "--device", "phone", "--url", "http://" + at.Devices}, "Give a valid one with --token-file or RAMEN_TOKEN")
	bad(t, "", []string{"listen", "-q", "--token-file", token + ".absent", "--device", "phone", "--url", "http://" + at.Devices}, "--token-file", "no such file")
	all := []string{"listen", "-q", "--token-file", token, "--url", "http://" + at.Backends, "--grpc", at.BackendsGRPC, "--device", "phone", "--transport", "ws,sse,grpc"}
	bad(t, "", all, "and not the backends'?")
	// A fallback that works is found.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var said strings.Builder
	errOut := writerFunc(func(b []byte) (int, error) {
		if said.Write(b); strings.Contains(said.String(), "online over grpc") {
			cancel()
		}
		return len(b), nil
	})
	execute(ctx, []string{"listen", "--token-file", token, "--url", "http://" + at.Backends, "--grpc", at.DevicesGRPC, "--device", "phone", "--transport", "ws,grpc"},
		nil, new(bytes.Buffer), errOut)
	if !strings.Contains(said.String(), "online over grpc") {
		t.Errorf("the fallback was not found:\n%s", said.String())
	}
}

// TestFix13ListenNamesTheCureForCertificates: an unknown authority and a wrong name are told apart.
func TestFix13ListenNamesTheCureForCertificates(t *testing.T) {
	at, token := guarded(t, true)
	cert := filepath.Join(filepath.Dir(token), "cert.pem")
	_, port, _ := strings.Cut(at.Devices, ":")
	_, portGRPC, _ := strings.Cut(at.DevicesGRPC, ":")
	for _, transport := range []string{"ws", "sse", "poll", "grpc"} {
		listen := []string{"listen", "-q", "--token-file", token, "--device", "phone", "--transport", transport}
		bad(t, "", append(listen, "--url", "https://localhost:"+port, "--grpc", "https://localhost:"+portGRPC), "--ca FILE")
		bad(t, "", append(listen, "--url", "https://127.0.0.1:"+port, "--grpc", "https://127.0.0.1:"+portGRPC, "--ca", cert), "certificate is for other names")
	}
}

// TestFix13MissingFilesAreNamedWithKeyAndFolder, all of them at once.
func TestFix13MissingFilesAreNamedWithKeyAndFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	file := write(t, filepath.Join(dir, "ramen.yaml"), "auth: {tokens: {secret_file: nosecret}, keys: {file: nokeys.yaml}}\ntls: {devices: {cert_file: /no/cert.pem, key_file: nokey.pem}}\n")
	for _, args := range [][]string{{"config", "--check", file}, {"serve", "--config", file}} {
		bad(t, "", args, "auth.tokens.secret_file is nosecret", "auth.keys.file is nokeys.yaml", "tls.devices.cert_file is /no/cert.pem", "tls.devices.key_file is nokey.pem",
			"in "+dir+", the folder that ramen was started in")
	}
}

// TestFix13StartIsTold: to people by a banner that names the console, and to programs by a record in the log.
func TestFix13StartIsTold(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	at := app.Addresses{Devices: "[::]:8080", DevicesGRPC: "[::]:8081", Backends: "[::]:9080", BackendsGRPC: "[::]:9081"}
	plain, secure, dev := app.Default(), app.Default(), app.Default()
	secure.TLS.Backends.CertFile, secure.TLS.Backends.KeyFile = cert, key
	dev.Dev = true
	for want, cfg := range map[string]app.Config{
		"console    http://127.0.0.1:9080/   in a browser; it asks for an API key":  plain,
		"console    https://localhost:9080/   in a browser; it asks for an API key": secure,
		"console    http://127.0.0.1:9080/   in a browser\n":                        dev,
	} {
		var out strings.Builder
		banner(&out, cfg, at)
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in:\n%s", want, out.String())
		}
	}
	var log bytes.Buffer
	plain.Log.Format = "json"
	logStart(plain.Log.NewLogger(&log), plain, at)
	var record map[string]any
	if err := json.Unmarshal(log.Bytes(), &record); err != nil || record["msg"] != "serving" || record["devices"] != at.Devices || record["version"] != version {
		t.Errorf("%s: %v", log.String(), err)
	}
}

// TestFix13LimitsAreTheServers: what the server is configured to take is said by the server; the client only knows what none takes.
func TestFix13LimitsAreTheServers(t *testing.T) {
	serving(t)
	day := []string{"publish", "--user", "alice", "1", "--ttl"}
	bad(t, "", append(day, "100ms"), "ttl_ms is 100", "from 1000 to the server's limit")
	bad(t, "", append(day, "48h"), "ttl_ms is 172800000: it must be 1000 to 86400000, or 0 for the default of 1800000")
	bad(t, strings.Repeat("x", 100<<10), []string{"publish", "--user", "alice", "--content-type", "text/plain", "-"}, "at most 65536 are allowed")
	bad(t, strings.Repeat("x", 2<<20), []string{"publish", "--user", "alice", "--content-type", "text/plain", "-"}, "at most 1048576 are allowed, and a server may allow less")
}
