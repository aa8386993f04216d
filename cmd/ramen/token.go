package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ramen/frontend/auth"
	"ramen/protocol"
)

// tokenFlags is what ramen token is asked for.
type tokenFlags struct {
	user, device, secret, secretFile, keyFile, algorithm, kid, issuer, config string
	audience                                                                  []string
	ttl                                                                       time.Duration
	backend, scopes, keysFile                                                 string
}

func tokenCommand() *cobra.Command {
	var f tokenFlags
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a token for a device, or an API key for a backend.",
		Long: "Make a token for a device (JWT), or an API key for a backend.\n\n" +
			"A token is signed with a secret or a private key: give one of --config (the server's secret, issuer and audience), --secret-file\n" +
			"and --key-file. In production the app's own backend issues tokens; this command is for tests.\n\n" +
			"With --backend, a new API key is printed; it is stored nowhere. The server needs its hash in the file of auth.keys.file:\n" +
			"--keys-file adds it there, and the server reloads the file.",
		Example: "  ramen token --user alice --secret-file secret\n" +
			"  ramen token --user alice --device phone --key-file private.pem --ttl 10m\n" +
			"  ramen token --backend dispatch --scopes publish,read --keys-file keys.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.backend != "" {
				return f.mintKey(c.OutOrStdout(), c.ErrOrStderr())
			}
			return f.mintToken(c.OutOrStdout())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.user, "user", "", "user of the token (sub)")
	fl.StringVar(&f.device, "device", "", "pin the token to this device")
	fl.StringVarP(&f.config, "config", "c", "", "configuration `file` of the server, whose secret signs the token")
	fl.StringVar(&f.secretFile, "secret-file", "", "`file` with the secret by which the server verifies tokens (auth.tokens.secret_file)")
	fl.StringVar(&f.secret, "secret", "", "the secret itself; --secret-file is safer, since others on this machine may see it")
	fl.StringVar(&f.keyFile, "key-file", "", "PEM `file` with a private key (RSA, EC P-256, Ed25519), whose public key the server has (auth.tokens.public_key_file)")
	fl.StringVar(&f.algorithm, "algorithm", "", "with a secret: HS256 (default), HS384 or HS512")
	fl.StringVar(&f.kid, "kid", "", "key id, if the server has a key set (auth.tokens.jwks_file)")
	fl.StringVar(&f.issuer, "issuer", "", "iss of the token")
	fl.StringSliceVar(&f.audience, "audience", nil, "aud of the token")
	fl.DurationVar(&f.ttl, "ttl", time.Hour, "how long the token is valid")
	fl.StringVar(&f.backend, "backend", "", "make an API key for the backend of this `name` instead")
	fl.StringVar(&f.scopes, "scopes", "publish,read", "scopes of the API key, separated by commas: publish, read, operate")
	fl.StringVar(&f.keysFile, "keys-file", "", "`file` to add the API key's entry to (auth.keys.file); without it the entry is printed")
	c.MarkFlagsMutuallyExclusive("config", "secret-file", "secret", "key-file")
	c.MarkFlagsMutuallyExclusive("backend", "user")
	completeWords(c, "algorithm", "HS256", "HS384", "HS512")
	return c
}

func (f *tokenFlags) mintToken(out io.Writer) error {
	if f.user == "" {
		return errors.New("token: --user is missing: give the token's user, or --backend for an API key")
	}
	if err := protocol.CheckUser(f.user); err != nil {
		return fmt.Errorf("token: --user: %w", err)
	}
	if f.device != "" {
		if err := protocol.CheckDevice(f.device); err != nil {
			return fmt.Errorf("token: --device: %w", err)
		}
	}
	key, err := f.signingKey()
	if err != nil {
		return err
	}
	key.ID = f.kid
	token, err := auth.Mint(key, auth.Grant{
		User: protocol.UserID(f.user), Device: protocol.DeviceID(f.device),
		TTL: f.ttl, Audience: f.audience, Issuer: f.issuer,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

// signingKey is the key that the flags name; where they name the server's configuration, its issuer and audience too.
func (f *tokenFlags) signingKey() (auth.SigningKey, error) {
	var none auth.SigningKey
	if f.algorithm != "" && (f.keyFile != "" || f.config != "") {
		return none, errors.New("token: --algorithm needs --secret or --secret-file; a key file or a configuration sets it")
	}
	switch {
	case f.config != "":
		cfg, err := loadConfig(f.config, nil)
		if err != nil {
			return none, err
		}
		f.issuer = cmp.Or(f.issuer, cfg.Auth.Tokens.Issuer)
		if len(f.audience) == 0 && len(cfg.Auth.Tokens.Audience) > 0 {
			f.audience = cfg.Auth.Tokens.Audience[:1]
		}
		return cfg.Auth.Tokens.SigningKey()
	case f.keyFile != "":
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return none, fmt.Errorf("token: read --key-file: %w", err)
		}
		return auth.PrivateKey(text)
	case f.secretFile != "":
		text, err := os.ReadFile(f.secretFile)
		if err != nil {
			return none, fmt.Errorf("token: read --secret-file: %w", err)
		}
		return auth.SecretKey(bytes.TrimRight(text, "\r\n"), f.algorithm)
	case f.secret != "":
		return auth.SecretKey([]byte(f.secret), f.algorithm)
	}
	return none, errors.New("token: no key to sign with: give --config, --secret-file or --key-file")
}

// mintKey prints a new API key, and the entry that lets the server know it, or adds that to the file.
func (f *tokenFlags) mintKey(out, errOut io.Writer) error {
	var scopes auth.Scope
	for name := range strings.SplitSeq(f.scopes, ",") {
		s, ok := auth.ParseScope(strings.TrimSpace(name))
		if !ok {
			return fmt.Errorf("token: unknown scope %q: use "+auth.ScopeNames+", separated by commas", name)
		}
		scopes |= s
	}
	key := auth.NewKey()
	entry := auth.KeyLine(f.backend, key, scopes)
	if f.keysFile == "" {
		fmt.Fprintf(errOut, "The API key. Give it to the backend; it is stored nowhere else:\n\n")
		fmt.Fprintln(out, key)
		fmt.Fprintf(errOut, "\nIts entry for the file of auth.keys.file:\n\n%s\n", entry)
		return nil
	}
	if err := addEntry(f.keysFile, entry); err != nil {
		return fmt.Errorf("token: add to --keys-file: %w", err)
	}
	_, err := fmt.Fprintln(out, key)
	return err
}

// addEntry adds a line to the file of keys, if the file is good with it: in one write, so that who follows the file never
// reads half of it.
func addEntry(path, entry string) error {
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	added := strings.TrimRight(entry, "\n") + "\n"
	if len(before) > 0 && before[len(before)-1] != '\n' {
		added = "\n" + added
	}
	if err := checkKeys(path, string(before)+added); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(added)
	return errors.Join(err, file.Close())
}

// checkKeys asks the server's part whether text is a good file of keys. path is what errors call it.
func checkKeys(path, text string) error {
	trial, err := os.CreateTemp("", "ramen-keys-")
	if err != nil {
		return err
	}
	defer os.Remove(trial.Name())
	_, err = trial.WriteString(text)
	if err := errors.Join(err, trial.Close()); err != nil {
		return err
	}
	if _, err := auth.NewKeys(auth.KeysConfig{File: trial.Name()}, nil); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), trial.Name(), path))
	}
	return nil
}
