// Package request reads what a device asks for, over HTTP and gRPC: it is checked, and known whose it is, before anybody acts on it.
//
//  1. An error is a *protocol.Error whose text names the parameter and the remedy, and repeats nothing of its value.
//  2. Who a device is, its token says; without authentication it is taken at its word. SPEC 4.
//
// There are no goroutines.
package request
