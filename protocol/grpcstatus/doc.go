// Package grpcstatus says which gRPC status stands for a reason or an error of package protocol, for servers and clients alike. SPEC 7.2.
//
//  1. The mapping stands here alone: what a server writes, a client reads.
//  2. UNAVAILABLE, CANCELLED and DEADLINE_EXCEEDED name no reason to a device, since grpc-go says the same of a broken connection.
//
// There are no goroutines and no state.
package grpcstatus
