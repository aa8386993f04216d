// Package cluster holds the tests of a whole cluster: processes of the real binary with a real Redis, devices on every transport, publishers
// over every way; and what is done to the processes meanwhile. It has no code of its own.
package cluster
