// Package fakes is the app around a client in a scenario of clients/conformance: its tokens, cursor stores and handler, each of which
// does what the scenario says. Beside it the adapter only translates.
//
// There are no goroutines.
package fakes
