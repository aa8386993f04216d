// Package clusterapi is the HTTP calls by which operators see and steer a cluster, on the operators' port of each of its members. SPEC 8.6.
//
// Goroutines: none.
package clusterapi
