package proxied

import (
	"crypto/tls"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ramen/internal/ports"
	"ramen/internal/testcert"
)

// kind is a proxy, and how the file that deploy/ hands out is put into a test: addresses, certificates and folders are replaced,
// nothing else.
type kind struct {
	name, file string
	replace    func(p *proxy) []string // old, new, …: each old must be there
	args       func(p *proxy) []string
	reload     func(p *proxy)
	cuts       bool // streams at a reload
}

var kinds = []kind{
	{
		name: "nginx", file: "nginx.conf",
		replace: func(p *proxy) []string {
			temporary := ""
			for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
				temporary += "\n\t" + what + "_temp_path " + p.in(what) + ";"
			}
			return []string{
				"http {", "http {" + temporary, // those of the package belong to root
				"listen 443 ", "listen " + p.addr + " ",
				"/etc/nginx/push.example.com.crt", p.in("cert.pem"), "/etc/nginx/push.example.com.key", p.in("key.pem"),
				"/var/log/nginx", p.dir, "/run/nginx.pid", p.in("nginx.pid"),
				"worker_rlimit_nofile 1048576", "worker_rlimit_nofile 4096", "worker_connections 262144", "worker_connections 2048",
				"127.0.0.1:8080", p.server.devices, "127.0.0.1:8081", p.server.grpc,
			}
		},
		args:   func(p *proxy) []string { return []string{"-p", p.dir, "-c", p.in("nginx.conf"), "-g", "daemon off;"} },
		reload: func(p *proxy) { p.Signal(p.t, syscall.SIGHUP) },
	},
	{
		name: "haproxy", file: "haproxy.cfg",
		replace: func(p *proxy) []string {
			return []string{
				"bind :443", "bind " + p.addr, "/etc/haproxy/push.example.com.pem", p.in("both.pem"), "maxconn 250000", "maxconn 1000",
				"127.0.0.1:8080", p.server.devices, "127.0.0.1:8081", p.server.grpc,
			}
		},
		args:   func(p *proxy) []string { return []string{"-W", "-f", p.in("haproxy.cfg")} },
		reload: func(p *proxy) { p.Signal(p.t, syscall.SIGUSR2) },
	},
	{
		name: "caddy", file: "Caddyfile",
		replace: func(p *proxy) []string {
			return []string{
				"\n{\n", "\n{\n\tadmin unix/" + p.in("admin.sock") + "\n\tauto_https disable_redirects\n",
				"push.example.com {", "https://" + p.addr + " {\n\ttls " + p.in("cert.pem") + " " + p.in("key.pem"),
				"127.0.0.1:8080", p.server.devices, "127.0.0.1:8081", p.server.grpc,
			}
		},
		args: func(p *proxy) []string {
			return []string{"run", "--config", p.in("Caddyfile"), "--adapter", "caddyfile"}
		},
		reload: func(p *proxy) {
			out, err := exec.Command(p.path, "reload", "--force", "--config", p.in("Caddyfile"), "--adapter", "caddyfile", "--address", "unix/"+p.in("admin.sock")).CombinedOutput()
			if err != nil {
				p.t.Fatalf("caddy reload: %v\n%s", err, out)
			}
		},
		cuts: true,
	},
}

// proxy is a real one in front of a server.
type proxy struct {
	*process
	kind
	t      testing.TB
	path   string
	dir    string
	addr   string
	server *server
	said   []*process // those of before a restart, too
}

func (p *proxy) in(file string) string { return filepath.Join(p.dir, file) }

// behind starts a proxy in front of s.
func behind(t testing.TB, k kind, s *server) *proxy {
	t.Helper()
	p := &proxy{kind: k, t: t, path: needs(t, k.name), dir: t.TempDir(), addr: ports.Free(t), server: s}
	shipped, err := os.ReadFile(filepath.Join("../../deploy", k.file))
	if err != nil {
		t.Fatal(err)
	}
	text := string(shipped)
	pairs := k.replace(p)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("deploy/%s has no %q, which this test replaces", k.file, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	p.write(k.file, text)
	p.certify()
	p.start()
	return p
}

// certify writes a new certificate and answers its serial number.
func (p *proxy) certify() (serial string) {
	p.t.Helper()
	c := testcert.SelfSigned("localhost")
	p.write("cert.pem", string(c.CertPEM))
	p.write("key.pem", string(c.KeyPEM))
	p.write("both.pem", string(c.CertPEM)+string(c.KeyPEM))
	return c.X509.SerialNumber.String()
}

// renew makes the proxy take up a new certificate, as once in a while.
func (p *proxy) renew() {
	p.t.Helper()
	serial := p.certify()
	p.reload(p)
	until(p.t, p.name+" shows its new certificate", func() bool {
		c, err := tls.Dial("tcp", p.addr, trust())
		if err != nil {
			return false
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String() == serial
	})
}

func (p *proxy) write(file, text string) {
	p.t.Helper()
	if err := os.WriteFile(p.in(file), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proxy) start() {
	p.t.Helper()
	p.process = begin(p.t, []string{"XDG_DATA_HOME=" + p.dir, "XDG_CONFIG_HOME=" + p.dir, "HOME=" + p.dir}, p.path, p.args(p)...)
	p.said = append(p.said, p.process)
	p.accepts(p.t, p.addr)
}

// restart kills the proxy and starts it again.
func (p *proxy) restart() {
	p.t.Helper()
	p.Kill()
	p.start()
}

// keepsNoToken fails where anything that the proxy has written has a token in it. Tokens begin alike.
func (p *proxy) keepsNoToken() {
	p.t.Helper()
	check := func(where, text string) {
		if at := strings.Index(text, "eyJ"); at >= 0 {
			p.t.Errorf("%s: %s has a token: %s", p.name, where, text[max(0, at-300):min(len(text), at+40)])
		}
	}
	for _, said := range p.said {
		check("its output", said.All.String())
	}
	lines := 0
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		check(path, string(text))
		lines += strings.Count(string(text), "/ramen/")
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, said := range p.said {
		lines += strings.Count(said.All.String(), "/ramen/")
	}
	if lines < 10 {
		p.t.Errorf("%s has logged %d requests: what is not logged shows nothing", p.name, lines)
	}
}

// trust accepts every certificate.
func trust() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }
