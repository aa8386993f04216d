package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkPresent says which of the files that c names are not there, each with its key and the folder that was looked in.
func (c *Config) checkPresent() error {
	var errs []error
	for _, f := range c.files() {
		if f.path == "" {
			continue
		}
		if _, err := os.Stat(f.path); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("app: %s is %s: no such file%s", f.key, f.path, lookedIn(f.path)))
		}
	}
	return errors.Join(errs...)
}

// lookedIn names the folder that a relative path begins in.
func lookedIn(path string) string {
	if filepath.IsAbs(path) {
		return ""
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" in %s, the folder that ramen was started in", dir)
}

type file struct{ key, path string }

// files are those that c names, by key.
func (c *Config) files() []file {
	always := append(c.certFiles(), file{"store.password_file", c.Store.PasswordFile}, file{"store.cache_password_file", c.Store.CachePasswordFile})
	if c.Clustered() {
		always = append(always, file{"cluster.view_file", c.Cluster.ViewFile})
	}
	if c.Dev {
		return always
	}
	return append(always,
		file{"auth.tokens.secret_file", c.Auth.Tokens.SecretFile},
		file{"auth.tokens.public_key_file", c.Auth.Tokens.PublicKeyFile},
		file{"auth.tokens.jwks_file", c.Auth.Tokens.JWKSFile},
		file{"auth.keys.file", c.Auth.Keys.File},
	)
}

func (c *Config) certFiles() []file {
	return []file{
		{"tls.devices.cert_file", c.TLS.Devices.CertFile}, {"tls.devices.key_file", c.TLS.Devices.KeyFile}, {"tls.devices.client_ca_file", c.TLS.Devices.ClientCAFile},
		{"tls.backends.cert_file", c.TLS.Backends.CertFile}, {"tls.backends.key_file", c.TLS.Backends.KeyFile}, {"tls.backends.client_ca_file", c.TLS.Backends.ClientCAFile},
	}
}
