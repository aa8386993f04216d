package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealthIsAsked: the exit status says whether a server is ready, and whether it runs.
func TestHealthIsAsked(t *testing.T) {
	serving(t)
	for _, args := range [][]string{{"health"}, {"health", "--live"}} {
		if out, errOut, status := command(t, "", args...); status != 0 || out != "ok\n" {
			t.Errorf("%v: exit status %d: %s%s", args, status, out, errOut)
		}
	}
}

// TestHealthTellsWhyNot, in the words of the server, and of one that does not answer.
func TestHealthTellsWhyNot(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, "the disk is full")
	}))
	defer server.Close()
	t.Setenv("RAMEN_BACKENDS_URL", server.URL)
	if _, errOut, status := command(t, "", "health"); status != statusFailed || !strings.Contains(errOut, "the disk is full") {
		t.Errorf("one that is not ready: exit status %d: %s", status, errOut)
	}
	if _, errOut, status := command(t, "", "health", "--live"); status != 0 {
		t.Errorf("one that is not ready, and runs: exit status %d: %s", status, errOut)
	}
	server.Close()
	if _, errOut, status := command(t, "", "health"); status != statusFailed || errOut == "" {
		t.Errorf("one that does not answer: exit status %d: %s", status, errOut)
	}
}
