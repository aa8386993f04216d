// Package ramenpb is the generated Go code of ramen.proto, the protobuf form of the wire contract (SPEC 7.1).
//
//  1. It is for the wire: the rest of the code converts to its own types at the edge.
//  2. Everything but this file is generated from ramen.proto by `go generate ./protocol/ramenpb`, which needs no
//     protoc and no network: the compiler and the plugins are those that go.mod pins.
package ramenpb

//go:generate go run -C ../.. ramen/scripts/protogen -out protocol/ramenpb protocol/ramenpb/ramen.proto
