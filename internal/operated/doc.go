// Package operated has tests of clusters that operators look at and change.
package operated
