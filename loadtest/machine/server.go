package machine

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ramen/internal/testcert"
)

// ServerConfig is how to start a server to be measured.
type ServerConfig struct {
	Binary     string   // ramen
	Dir        string   // its data goes into a new folder here, on a real disk
	Processors []int    // that it is bound to
	Auth       bool     // devices show tokens, backends a key; else development
	TLS        bool     // devices' ports speak it, with a certificate of our own
	Baseline   bool     // start the baseline server instead of RAMEN: it has no data, and ignores the other fields
	Args       []string // more flags of ramen serve
	// Store and Cache are URLs; empty: the embedded store, no cache. The server gets them in its environment, since command lines can be
	// read by all and URLs have passwords.
	Store, Cache string
	Env          []string // more variables, NAME=VALUE

	// For a server in another network namespace; nil: it is in ours. Enter puts the thread there that it is started from, which
	// is not used again; Dial reaches its backends' port.
	Enter func() error
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	// Addresses are what the certificate is for, beside loopback.
	Addresses []netip.Addr
}

// Server is a server process of our own.
type Server struct {
	PID                                          int
	Devices, DevicesGRPC, Backends, BackendsGRPC string // URL, host:port, URL, host:port
	Secret, Key                                  string // with Auth
	CA                                           string // with TLS: the file of the devices' ports' authority

	cmd   *exec.Cmd
	dir   string
	log   *os.File
	gone  chan struct{} // closed when it has ended
	done  chan struct{} // closed by Close
	said  sync.WaitGroup
	ended bool
}

// startTime bounds how long a server may take until it serves.
const startTime = 30 * time.Second

// StartServer starts a server and waits until it serves.
func StartServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "ramen-load-")
	if err != nil {
		return nil, fmt.Errorf("machine: make a folder for the server: %w", err)
	}
	s := &Server{dir: dir, gone: make(chan struct{}), done: make(chan struct{})}
	if err := s.start(ctx, &cfg); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, cfg *ServerConfig) error {
	args, ports, err := s.args(ctx, cfg)
	if err != nil {
		return err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return fmt.Errorf("machine: start the server: %w", err)
	}
	s.cmd = exec.Command(cfg.Binary, args...)
	s.cmd.Stderr = s.log
	s.cmd.Env = append(append(os.Environ(), cfg.storeEnv()...), cfg.Env...)
	s.cmd.SysProcAttr = OwnGroup()
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("machine: start the server: %w", err)
	}
	if err := s.hold(cfg); err != nil {
		s.cmd = nil
		return fmt.Errorf("machine: start the server: %w", err)
	}
	s.PID = s.cmd.Process.Pid
	banner := make(chan []string, 1)
	s.said.Go(func() {
		defer close(s.gone)
		readBanner(out, ports, banner)
	})
	select {
	case at := <-banner:
		if len(at) != ports {
			return fmt.Errorf("machine: the server has not started: %s", s.lastWords())
		}
		if cfg.Baseline {
			s.Devices, s.Backends = "http://"+at[0], at[1]
			return nil
		}
		s.Devices, s.DevicesGRPC, s.Backends, s.BackendsGRPC = "http://"+at[0], at[1], "http://"+at[2], at[3]
		if cfg.TLS {
			s.Devices = "https://" + at[0]
		}
	case <-time.After(startTime):
		return fmt.Errorf("machine: the server has not started within %v: %s", startTime, s.lastWords())
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.ready(ctx, cfg)
}

// storeEnv tells the server of its store; where there is none to tell of, it has what our own environment or its flags say.
func (cfg *ServerConfig) storeEnv() []string {
	if cfg.Store == "" {
		return nil
	}
	return []string{"RAMEN_STORE_URL=" + cfg.Store, "RAMEN_STORE_CACHE=" + cfg.Cache}
}

// hold starts the process from a thread that lives as long as we do: the system ends the child with it (see OwnGroup).
func (s *Server) hold(cfg *ServerConfig) error {
	started := make(chan error)
	s.said.Go(func() {
		runtime.LockOSThread()
		if cfg.Enter == nil {
			defer runtime.UnlockOSThread()
		} else if err := cfg.Enter(); err != nil {
			started <- err
			return
		}
		err := Start(s.cmd, cfg.Processors)
		started <- err
		if <-s.done; err == nil && cfg.Enter != nil { // the thread ends here, and the server must have before
			<-s.gone
		}
	})
	return <-started
}

// args is the command line of the server, and how many ports it says that it has.
func (s *Server) args(ctx context.Context, cfg *ServerConfig) (args []string, ports int, err error) {
	if cfg.Baseline {
		return []string{"load", "baseline", "serve"}, 2, nil
	}
	args = []string{"serve", "--data", filepath.Join(s.dir, "data"), "--log.level", "warn", "--listen.devices", "127.0.0.1:0",
		"--listen.devices-grpc", "127.0.0.1:0", "--listen.backends", "127.0.0.1:0", "--listen.backends-grpc", "127.0.0.1:0"}
	more, err := s.credentials(ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	args = append(args, more...)
	if cfg.TLS {
		hosts := slices.Clone(testcert.Loopback)
		for _, a := range cfg.Addresses {
			hosts = append(hosts, a.String())
		}
		cert, key, err := testcert.SelfSigned("ramen load", hosts...).WriteFiles(s.dir)
		if err != nil {
			return nil, 0, err
		}
		s.CA = cert
		args = append(args, "--tls.devices.cert-file", cert, "--tls.devices.key-file", key)
	}
	return append(args, cfg.Args...), 4, nil
}

// credentials are the flags that turn authentication on, or off.
func (s *Server) credentials(ctx context.Context, cfg *ServerConfig) ([]string, error) {
	if !cfg.Auth {
		return []string{"--dev"}, nil
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	s.Secret = base64.StdEncoding.EncodeToString(secret)
	secretFile, keysFile := filepath.Join(s.dir, "secret"), filepath.Join(s.dir, "keys.yaml")
	if err := os.WriteFile(secretFile, []byte(s.Secret), 0o600); err != nil {
		return nil, fmt.Errorf("machine: write the secret: %w", err)
	}
	key, err := exec.CommandContext(ctx, cfg.Binary, "token", "--backend", "load", "--scopes", "publish,read", "--keys-file", keysFile).Output()
	if err != nil {
		return nil, fmt.Errorf("machine: make an API key: %w", err)
	}
	s.Key = strings.TrimSpace(string(key))
	return []string{"--auth.tokens.secret-file", secretFile, "--auth.keys.file", keysFile}, nil
}

var address = regexp.MustCompile(`^\s+(?:(?:devices|backends)\s+https?://)?([0-9.]+:\d+) `)

// readBanner finds the addresses, so many, and reads on so that the server is never held up.
func readBanner(out io.Reader, ports int, found chan<- []string) {
	var at []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := address.FindStringSubmatch(lines.Text() + " "); m != nil && len(at) < ports {
			if at = append(at, m[1]); len(at) == ports {
				found <- at
			}
		}
	}
	if len(at) < ports {
		found <- at
	}
	_, _ = io.Copy(io.Discard, out)
}

// ready waits until the server says so: on a store that is elsewhere it may still wait for another's lease to end.
func (s *Server) ready(ctx context.Context, cfg *ServerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: cfg.Dial}}
	defer client.CloseIdleConnections()
	again := time.NewTicker(readyEvery)
	defer again.Stop()
	for {
		err := s.askReady(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-s.gone:
			return fmt.Errorf("machine: the server has ended before it was ready: %w: %s", err, s.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("machine: the server is not ready: %w: %s", err, s.lastWords())
		}
	}
}

// readyEvery is how often a server is asked whether it is ready.
const readyEvery = 50 * time.Millisecond

func (s *Server) askReady(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Backends+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// lastWords is the end of the server's log.
func (s *Server) lastWords() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// Log is what the server has logged, warnings and worse.
func (s *Server) Log() string { return s.lastWords() }

// endTime is how long a server may take to shut down.
const endTime = 20 * time.Second

// Close ends the server and removes its data.
func (s *Server) Close() error {
	if s.ended {
		return nil
	}
	s.ended = true
	var errs []error
	close(s.done)
	if s.cmd != nil {
		select {
		case <-s.gone:
			errs = append(errs, errors.New("machine: the server has ended by itself"))
		default:
		}
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(endTime, func() { _ = s.cmd.Process.Kill() })
		s.said.Wait()
		if err := s.cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("machine: end the server: %w: %s", err, s.lastWords()))
		}
		kill.Stop()
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// Kill ends the server at once, as kill -9 does, and removes its data.
func (s *Server) Kill() error {
	if s.ended {
		return nil
	}
	s.ended = true
	close(s.done)
	_ = s.cmd.Process.Kill()
	s.said.Wait()
	_ = s.cmd.Wait() // it says that the server was killed
	return errors.Join(s.log.Close(), os.RemoveAll(s.dir))
}

// Gone is closed once the server has closed its output: it has ended.
func (s *Server) Gone() <-chan struct{} { return s.gone }
