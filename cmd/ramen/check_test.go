package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"ramen/internal/app"
	"ramen/internal/ports"
	"ramen/internal/testcert"
)

// verdict is one configuration, and what both config --check and serve must say of it.
type verdict struct {
	name string
	file string // YAML; DIR is the test's folder, PORT a free port, TAKEN one that is in use
	says string // of a refusal; empty: it starts
}

// The listeners of a file that names none.
const anyPorts = "listen: {devices: 127.0.0.1:0, devices_grpc: 127.0.0.1:0, backends: 127.0.0.1:0, backends_grpc: 127.0.0.1:0}\n"

func listen(devices, devicesGRPC, backends string) string {
	return fmt.Sprintf("listen: {devices: %q, devices_grpc: %q, backends: %q, backends_grpc: 127.0.0.1:0}\n", devices, devicesGRPC, backends)
}

const authenticated = "auth: {tokens: {secret_file: DIR/secret}, keys: {file: DIR/keys.yaml}}\n"

var verdicts = []verdict{
	{"good", "dev: true\ndata: DIR/data\n", ""},
	{"data that does not exist yet", "dev: true\ndata: DIR/a/b/c\n", ""},
	{"authenticated", authenticated + "data: DIR/data\n", ""},
	{"TLS", authenticated + "data: DIR/data\ntls: {devices: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_ca_file: DIR/cert.pem}}\n", ""},
	{"origins", "dev: true\ndata: DIR/data\nfrontend: {origins: ['https://*.example.com', 'https://bücher.example:443', '*', 'null']}\n", ""},
	{"a set with a bad key", "auth: {tokens: {jwks_file: DIR/jwks.json}, keys: {file: DIR/keys.yaml}}\ndata: DIR/data\n", ""},

	{"no authentication", "data: DIR/data\n", "authentication is not configured"},
	{"origin with a path", "dev: true\ndata: DIR/data\nfrontend: {origins: ['https://app.example.com/']}\n", "write https://app.example.com"},
	{"origin without a scheme", "dev: true\ndata: DIR/data\nfrontend: {origins: [app.example.com]}\n", "write https://app.example.com"},
	{"origin of a socket", "dev: true\ndata: DIR/data\nfrontend: {origins: ['wss://app.example.com']}\n", "write https://app.example.com"},

	{"one port twice", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:PORT", "127.0.0.1:0", "127.0.0.1:PORT"), "listen.devices and listen.backends both have port"},
	{"one port twice, once of every address", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:PORT", "127.0.0.1:0", "[::]:PORT"), "listen.devices and listen.backends both have port"},
	{"one port twice, by a name", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:PORT", "localhost:PORT", "127.0.0.1:0"), "listen.devices already uses 127.0.0.1:"},
	{"one port on two addresses", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:PORT", "127.0.0.2:PORT", "127.0.0.1:0"), ""},
	{"a port in use", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:TAKEN"), "listen.backends"},
	{"a port beyond all", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:0"), "listen.devices"},
	{"a port with no such name", "dev: true\ndata: DIR/data\n" + listen("127.0.0.1:0", "127.0.0.1:nothing", "127.0.0.1:0"), "listen.devices_grpc"},
	{"an address of nobody here", "dev: true\ndata: DIR/data\n" + listen("192.0.2.1:0", "127.0.0.1:0", "127.0.0.1:0"), "listen.devices"},

	{"data is a file", "dev: true\ndata: DIR/secret\n", "DIR/secret"},
	{"data under a file", "dev: true\ndata: DIR/secret/data\n", "DIR/secret"},
	{"another number of shards", "dev: true\ndata: DIR/used\nshards: 7\n", "stored in"},

	{"no secret", "auth: {tokens: {secret_file: DIR/nothing}, keys: {file: DIR/keys.yaml}}\ndata: DIR/data\n", "DIR/nothing"},
	{"a folder for a secret", "auth: {tokens: {secret_file: DIR}, keys: {file: DIR/keys.yaml}}\ndata: DIR/data\n", "not a regular file"},
	{"a short secret", "auth: {tokens: {secret_file: DIR/short}, keys: {file: DIR/keys.yaml}}\ndata: DIR/data\n", "at least 32"},
	{"no key in the set", "auth: {tokens: {jwks_file: DIR/nokeys.json}, keys: {file: DIR/keys.yaml}}\ndata: DIR/data\n", "none of its keys"},
	{"no keys", "auth: {tokens: {secret_file: DIR/secret}, keys: {file: DIR/nothing}}\ndata: DIR/data\n", "DIR/nothing"},
	{"the hash of an empty key", "auth: {tokens: {secret_file: DIR/secret}, keys: {file: DIR/emptykey.yaml}}\ndata: DIR/data\n", "empty key"},
	{"no certificate", "dev: true\ndata: DIR/data\ntls: {backends: {cert_file: DIR/nothing, key_file: DIR/key.pem}}\n", "DIR/nothing"},
	{"another key's certificate", "dev: true\ndata: DIR/data\ntls: {backends: {cert_file: DIR/cert.pem, key_file: DIR/otherkey.pem}}\n", "DIR/cert.pem"},
	{"no authority", "dev: true\ndata: DIR/data\ntls: {devices: {cert_file: DIR/cert.pem, key_file: DIR/key.pem, client_ca_file: DIR/secret}}\n", "client_ca_file"},

	{"a mailbox that holds no message", "dev: true\ndata: DIR/data\nbackend: {publish: {max_payload: 1MiB}}\ngateway: {mailbox_bytes: 1MiB}\n", "gateway.mailbox_bytes"},
	{"a body that holds no payload", "dev: true\ndata: DIR/data\nbackend: {publish: {max_payload: 512KiB, max_body: 256KiB}}\n", "max_body"},
	{"a socket that holds no push", "dev: true\ndata: DIR/data\nbackend: {publish: {max_payload: 1MiB}}\nfrontend: {sock: {max_kept: 1MiB}}\n", "max_kept"},
	{"a drain longer than the shutdown", "dev: true\ndata: DIR/data\nshutdown_time: 5s\nfrontend: {drain_time: 5s}\n", "shutdown_time"},
}

// TestFix03CheckAgreesWithServe: what config --check calls good starts, and what it refuses does not, for the same reason.
func TestFix03CheckAgreesWithServe(t *testing.T) {
	for _, v := range verdicts {
		t.Run(v.name, func(t *testing.T) {
			dir := t.TempDir()
			furnish(t, dir)
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			text := v.file
			if !strings.Contains(text, "listen:") {
				text += anyPorts
			}
			_, inUse, _ := net.SplitHostPort(taken.Addr().String())
			_, free, _ := net.SplitHostPort(ports.Free(t))
			fill := strings.NewReplacer("DIR", dir, "PORT", free, "TAKEN", inUse)
			file := write(t, filepath.Join(dir, "ramen.yaml"), fill.Replace(text))

			out, errOut, status := command(t, "", "config", "--check", file)
			started, why := starts(t, file)
			if (status == 0) != started || started != (v.says == "") {
				t.Fatalf("config --check: exit status %d, %s%s\nserve: started %v, %s", status, out, errOut, started, why)
			}
			if !started && (!strings.Contains(errOut, fill.Replace(v.says)) || !strings.Contains(why, fill.Replace(v.says))) {
				t.Errorf("they do not both say %q:\n%s\n%s", v.says, errOut, why)
			}
			if started != strings.Contains(out, "is good") {
				t.Errorf("config --check says %q", out)
			}
		})
	}
}

// starts runs serve with file until it is up.
func starts(t *testing.T, file string) (bool, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var why bytes.Buffer
	out, in := io.Pipe()
	up := make(chan bool, 1)
	go func() {
		n, _ := out.Read(make([]byte, 16)) // the banner comes once the ports are open
		up <- n > 0
		cancel()
		_, _ = io.Copy(io.Discard, out)
	}()
	execute(ctx, []string{"serve", "--config", file}, nil, in, &why)
	in.Close()
	return <-up, why.String()
}

// furnish makes the files that the verdicts name.
func furnish(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("secret"), strings.Repeat("s", 32))
	write(t, at("short"), "short")
	good(t, "", "token", "--backend", "a", "--keys-file", at("keys.yaml"))
	write(t, at("emptykey.yaml"), "- {name: a, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, scopes: [publish]}\n")
	oct := `{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}`
	write(t, at("jwks.json"), `{"keys":[{"kty":"RSA","n":"!","e":"AQAB"},`+oct+`]}`)
	write(t, at("nokeys.json"), `{"keys":[{"kty":"RSA","n":"!","e":"AQAB"}]}`)
	if _, _, err := testcert.SelfSigned("ramen").WriteFiles(dir); err != nil {
		t.Fatal(err)
	}
	write(t, at("otherkey.pem"), string(testcert.SelfSigned("other").KeyPEM))
	cfg := write(t, at("used.yaml"), "dev: true\ndata: "+at("used")+"\n"+anyPorts)
	if ok, why := starts(t, cfg); !ok {
		t.Fatal(why)
	}
}

// TestFix03DefaultsContradictNothing, nor does what is configured at the limits of SPEC.
func TestFix03DefaultsContradictNothing(t *testing.T) {
	cfg := app.Default()
	cfg.Dev = true
	cfg.Backend.Publish.MaxPayload = 1 << 20
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}
