// Package config fills a configuration struct from a YAML file, environment variables and flags, each over the one before,
// and writes one as YAML or as a table.
//
// Fields are named by their yaml tag; a field without one, or with "-", is not configurable. Further tags: doc:"…" is the
// comment in what is written; unit:"bytes" makes an integer a size ("64MiB"), as a name in _bytes does; secret:"true"
// keeps a value out of errors and of what is written; secret:"part" keeps it out of errors alone, since its type's MarshalText leaves
// out what is secret in it; flag:"…" is a second, shorter name of its flag. What can be set:
//
//	frontend:                 RAMEN_FRONTEND_ACK_TIMEOUT=5s        --frontend.ack-timeout 5s
//	  ack_timeout: 5s
//
// Types are string, bool, integers, floats, time.Duration, Bytes, what implements encoding.TextUnmarshaler, lists of
// these (in the environment and flags with commas), maps of strings to these (a=1,b=2), structs, and lists and maps of
// structs (in files alone).
//
// Invariants:
//
//  1. What is not understood is an error, never passed over: every key, RAMEN_ variable and value.
//  2. An error names where the value stands (file:line, variable, flag), and what would be right. All are told at once.
//  3. A list or a map that is given replaces the default whole.
//  4. What is written reads back as the same configuration, but for secrets.
//
// It keeps no state and starts no goroutine.
package config
