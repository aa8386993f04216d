// Package registrypb is the values in the registry of a cluster, as protobuf.
//
// It is generated from registry.proto: make generate.
package registrypb

//go:generate go run ramen/scripts/protogen -out . registry.proto
