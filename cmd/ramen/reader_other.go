//go:build !unix

package main

import "io"

// whenReaderGone is for systems that tell; elsewhere the next write finds out.
func whenReaderGone(io.Writer, func()) (end func()) { return func() {} }
