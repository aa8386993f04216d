package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthTimeout bounds the question: less than a supervisor waits for a check.
const healthTimeout = 3 * time.Second

func healthCommand() *cobra.Command {
	var url string
	var live bool
	var t tlsFlags
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a server whether it is ready; the exit status says so.",
		Long: "Ask a server on its backends' port, or the operators' of a controller or gateway, whether it does what it is there for (/readyz), or with\n" +
			"--live whether it runs at all (/healthz). The exit status is 0 where it does, and 1 where it says why not, or does not answer. For health\n" +
			"checks in images that have nothing else.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := "/readyz"
			if live {
				path = "/healthz"
			}
			ctx, cancel := context.WithTimeout(c.Context(), healthTimeout)
			defer cancel()
			said, err := askHealth(ctx, strings.TrimRight(url, "/")+path, &t)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), said)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&url, "url", fromEnv("RAMEN_BACKENDS_URL", "http://127.0.0.1:9080"), "HTTP port of the server; RAMEN_BACKENDS_URL in the environment")
	fl.BoolVar(&live, "live", false, "whether it runs, not whether it is ready")
	fl.StringVar(&t.ca, "ca", "", "PEM `file` with the certificate authorities to trust instead of the system's")
	fl.StringVar(&t.cert, "cert", "", "PEM `file` with a client certificate")
	fl.StringVar(&t.key, "key-pem", "", "PEM `file` with the client certificate's private key")
	return c
}

// askHealth answers what the server says, or why it is not well.
func askHealth(ctx context.Context, url string, t *tlsFlags) (said string, err error) {
	tlsConfig, err := t.config()
	if err != nil {
		return "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("health: %w", err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return "", fmt.Errorf("health: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("health: read the answer of %s: %w", url, err)
	}
	said = strings.TrimSpace(string(text))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("health: %s answers %s: %s", url, answer.Status, said)
	}
	return said, nil
}
