package linkgrpc

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// SecurityConfig names the files by which the members of a cluster know each other.
type SecurityConfig struct {
	CertFile   string `yaml:"cert_file" doc:"PEM file with this member's certificate, followed by the intermediate ones. It is for the member's name. Empty: no TLS."`
	KeyFile    string `yaml:"key_file" doc:"PEM file with the certificate's private key."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with the authorities that sign the certificates of members, and of nobody else."`
	SecretFile string `yaml:"secret_file" doc:"File with a secret that all members have, of 16 bytes or more. Further lines are accepted too, so that it can be changed on one member after the other. Empty: none."`
	Plaintext  bool   `yaml:"plaintext" doc:"Make links to other machines without TLS. Whoever is on the network reads all messages, and the secret."`
}

// Validate says which of the files of a certificate is missing.
func (c *SecurityConfig) Validate() error {
	var set, missing []string
	for _, f := range []struct{ key, file string }{{"cert_file", c.CertFile}, {"key_file", c.KeyFile}, {"ca_file", c.CAFile}} {
		if f.file == "" {
			missing = append(missing, f.key)
		} else {
			set = append(set, f.key)
		}
	}
	if len(set) == 0 || len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("linkgrpc: security has %s without %s: set cert_file, key_file and ca_file, or none of them", strings.Join(set, " and "), strings.Join(missing, " and "))
}

// Open reads the files. They are looked at again with each connection: what has changed in them holds from then on, and what cannot be
// used is logged, while the old stays in force.
func (c *SecurityConfig) Open(log *slog.Logger) (Security, error) {
	s := Security{Plaintext: c.Plaintext}
	if err := c.Validate(); err != nil {
		return s, err
	}
	if c.CertFile != "" {
		s.TLS = new(Identity)
		s.TLS.files = &followed{log: log, paths: []string{c.CertFile, c.KeyFile, c.CAFile}, use: func(data [][]byte) error {
			return s.TLS.Replace(data[0], data[1], data[2])
		}}
		if err := s.TLS.files.read(); err != nil {
			return s, err
		}
	}
	if c.SecretFile != "" {
		s.Secret = new(Secret)
		s.Secret.file = &followed{log: log, paths: []string{c.SecretFile}, use: func(data [][]byte) error { return s.Secret.Replace(data[0]) }}
		if err := s.Secret.file.read(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// followed is files that make sense together only. They are small and read seldom: with each connection.
type followed struct {
	// immutable
	log   *slog.Logger
	paths []string
	use   func(data [][]byte) error

	mu     sync.Mutex
	data   [][]byte // in force
	broken string   // the error that was last logged
}

// refresh uses what has changed in the files. A nil followed has none.
func (f *followed) refresh() {
	if f == nil {
		return
	}
	err := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.broken = ""
	case err.Error() != f.broken:
		f.broken = err.Error()
		f.log.Error("linkgrpc: new keys or certificates could not be loaded; the old ones stay in use", "file", f.paths[0], "cause", err)
	}
}

func (f *followed) read() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	data := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		var err error
		if data[i], err = os.ReadFile(path); err != nil {
			return fmt.Errorf("linkgrpc: %w", err)
		}
	}
	same := f.data != nil
	for i := range data {
		same = same && bytes.Equal(data[i], f.data[i])
	}
	if same {
		return nil
	}
	if err := f.use(data); err != nil {
		return fmt.Errorf("%w (%s)", err, f.paths[0])
	}
	f.data = data
	return nil
}
