package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ramen/frontend/auth"
	"ramen/protocol"
)

// tokenFlags is what ramen token is asked for.
type tokenFlags struct {
	user, device, secret, secretFile, keyFile, algorithm, kid, issuer string
	audience                                                          []string
	ttl                                                               time.Duration
	backend, scopes                                                   string
}

func tokenCommand() *cobra.Command {
	var f tokenFlags
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a token for a device, or a key for a backend, to try things out.",
		Example: "  ramen token --user alice --secret-file secret\n" +
			"  ramen token --user alice --device phone --key-file private.pem --ttl 10m\n" +
			"  ramen token --backend dispatch --scopes publish,read",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	fl := c.Flags()
	fl.StringVar(&f.user, "user", "", "user of the token (sub)")
	fl.StringVar(&f.device, "device", "", "pin the token to this device")
	fl.StringVar(&f.secretFile, "secret-file", "", "`file` with the secret that the server checks tokens with (auth.tokens.secret_file)")
	fl.StringVar(&f.secret, "secret", "", "the secret itself; others on this machine may see it, prefer --secret-file")
	fl.StringVar(&f.keyFile, "key-file", "", "PEM `file` with a private key, whose public key the server has (auth.tokens.public_key_file)")
	fl.StringVar(&f.algorithm, "algorithm", "", "HS256 (default), HS384 or HS512, with a secret")
	fl.StringVar(&f.kid, "kid", "", "id of the key, where the server has a key set")
	fl.StringVar(&f.issuer, "issuer", "", "iss of the token")
	fl.StringSliceVar(&f.audience, "audience", nil, "aud of the token")
	fl.DurationVar(&f.ttl, "ttl", time.Hour, "how long the token is good")
	fl.StringVar(&f.backend, "backend", "", "make an API key for the backend of this `name` instead: the key, and the line for auth.keys.file")
	fl.StringVar(&f.scopes, "scopes", "publish,read", "scopes of the API key")
	return c
}

func (f *tokenFlags) run(c *cobra.Command) error {
	if f.backend != "" {
		return f.mintKey(c)
	}
	if f.user == "" {
		return errors.New("token: --user is missing: name the user of the token, or --backend for an API key")
	}
	if err := protocol.CheckUser(f.user); err != nil {
		return err
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
	fmt.Fprintln(c.OutOrStdout(), token)
	return nil
}

func (f *tokenFlags) signingKey() (auth.SigningKey, error) {
	var none auth.SigningKey
	switch {
	case f.keyFile != "":
		text, err := os.ReadFile(f.keyFile)
		if err != nil {
			return none, fmt.Errorf("token: %w", err)
		}
		return auth.PrivateKey(text)
	case f.secretFile != "":
		text, err := os.ReadFile(f.secretFile)
		if err != nil {
			return none, fmt.Errorf("token: %w", err)
		}
		return auth.SecretKey(bytes.TrimRight(text, "\r\n"), f.algorithm)
	case f.secret != "":
		return auth.SecretKey([]byte(f.secret), f.algorithm)
	}
	return none, errors.New("token: there is nothing to sign with: give --secret-file or --key-file")
}

// mintKey prints a new API key, and the line that lets the server know it.
func (f *tokenFlags) mintKey(c *cobra.Command) error {
	var scopes auth.Scope
	for name := range strings.SplitSeq(f.scopes, ",") {
		s, ok := auth.ParseScope(strings.TrimSpace(name))
		if !ok {
			return fmt.Errorf("token: there is no scope %q: use publish, read or both", name)
		}
		scopes |= s
	}
	key := auth.NewKey()
	fmt.Fprintf(c.OutOrStdout(), "key, for the backend (it is not kept anywhere):\n\n  %s\n\nline for the file of auth.keys.file:\n\n%s\n", key, auth.KeyLine(f.backend, key, scopes))
	return nil
}
