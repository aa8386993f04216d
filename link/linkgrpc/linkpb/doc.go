// Package linkpb is the generated Go code of link.proto: what frontends and gateways say to each other.
//
//  1. Package frame writes and reads these messages by hand; of this package the program uses the name of the call alone, and
//     tests hold package frame against its messages.
//  2. Everything but this file is generated from link.proto by `go generate ./link/linkgrpc/linkpb`, which needs no protoc and no
//     network: the compiler and the plugins are those that go.mod pins.
package linkpb

//go:generate go run ramen/scripts/protogen -out . link.proto
