// Package outside has the test of an app that imports the Go client: what its module carries.
package outside
