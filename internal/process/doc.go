// Package process holds the tests of the real binary: it is killed, drained, refused a disk, and told nonsense; and the
// commands of README.md are run as they stand there. It has no code of its own.
package process
