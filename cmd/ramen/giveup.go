package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	ramen "ramen/clients/go"
	"ramen/clients/go/wire"
	"ramen/protocol"
)

// brokenPrefaces is how often in a row a gRPC port has to end a connection at its beginning until it is taken for a TLS port: a proxy
// whose server is being restarted does the same.
const brokenPrefaces = 3

// attemptsATransport is how often in a row each transport has to fail without hope: as many as the client tries one until the next has
// its turn, so that a fallback that works is found.
const attemptsATransport = 2

// giveUp ends listen where trying again cannot succeed: whoever sits before it has to change something. After the first hello it only
// ends for refused credentials, since then everything else was right once.
type giveUp struct {
	waitsForToken bool // the file may have another one later
	transports    int

	online bool // a hello has come
	failed int  // openings without hope in a row
	err    error
}

// state takes in a change, and reports whether to end. err is why.
func (g *giveUp) state(s ramen.StateChange) bool {
	if s.State == ramen.StateOnline {
		g.online, g.failed = true, 0
	}
	if s.State != ramen.StateWaiting || s.Err == nil {
		return false
	}
	if err := refusal(s.Err, g.waitsForToken); err != nil {
		g.err = err
		return true
	}
	cure := cureOf(s.Err)
	if g.online || cure == "" {
		g.failed = 0
		return false
	}
	g.failed++
	g.err = fmt.Errorf("listen: %w\n%s", s.Err, cure)
	most := attemptsATransport * g.transports
	switch {
	case strings.HasSuffix(s.Err.Error(), prefaceEOF):
		most = max(most, brokenPrefaces)
	case g.transports <= 1:
		most = 1
	}
	return g.failed >= most
}

// refusal is the error where the server does not take who asks.
func refusal(err error, waitsForToken bool) error {
	var end *wire.EndError
	switch {
	case !errors.As(err, &end):
		return nil
	case end.Reason == protocol.ReasonPermissionDenied:
		return fmt.Errorf("listen: the token is not for this user or device: %w\nGive the --user and --device that the token names, or leave out --user; ramen token makes other tokens", err)
	case end.Reason == protocol.ReasonUnauthenticated && !waitsForToken:
		return fmt.Errorf("listen: the token is not accepted: %w\nGive a valid one with --token-file or RAMEN_TOKEN; ramen token makes one for tests", err)
	}
	return nil
}

// cureOf says what would be right, where err is of a kind that trying again does not mend; empty otherwise.
func cureOf(err error) string {
	text := err.Error() // grpc-go passes on the text of causes alone
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &authority) || strings.Contains(text, "x509: certificate signed by unknown authority"):
		return "The server's certificate is signed by an authority that this machine does not trust: give the authority's certificate with --ca FILE"
	case errors.As(err, &host) || strings.Contains(text, "x509: certificate is valid for") || strings.Contains(text, "x509: cannot validate certificate for"):
		return "The server's certificate is for other names: use one of them in --url and --grpc"
	case errors.As(err, &invalid) || strings.Contains(text, "x509: certificate"):
		return "The server's certificate is not valid: check its dates and key usage, and this machine's clock"
	case strings.Contains(text, "tls: certificate required") || strings.Contains(text, "tls: bad certificate"):
		return "The server wants a client certificate: give --cert and --key-pem"
	case errors.As(err, &record) || strings.Contains(text, "server gave HTTP response to HTTPS client") || strings.Contains(text, "first record does not look like a TLS handshake"):
		return "The port speaks cleartext: use http:// in --url, and leave out --tls and --ca for --grpc"
	}
	return wrongPort(err, text)
}

// prefaceEOF is how grpc-go's error ends where the server ended the connection before it said anything.
const prefaceEOF = `error reading server preface: EOF"`

// wrongPort says so where something else answers than what serves devices.
func wrongPort(err error, text string) string {
	const http1 = "Is --url the devices' HTTP port (8080 by default), and not the backends'? If the server has a certificate, the URL begins with https://"
	var status *wire.StatusError
	var said *protocol.Error
	switch {
	case errors.As(err, &said) && said.Code == protocol.CodeNotFound:
		return http1
	case errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusMethodNotAllowed || status.Code == http.StatusBadRequest || status.Code == http.StatusNotImplemented):
		return http1
	case strings.Contains(text, "malformed HTTP response"):
		return http1
	case strings.Contains(text, "unknown service ramen.v1.Devices"):
		return "Is --grpc the devices' gRPC port (8081 by default), and not the backends'?"
	case strings.Contains(text, "error reading server preface"):
		return "--grpc does not answer as a cleartext gRPC port: is it the devices' gRPC port (8081 by default)? If the server has a certificate, give --tls"
	}
	return ""
}
