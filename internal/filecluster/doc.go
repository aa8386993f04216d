// Package filecluster has the tests of a cluster without controllers: processes of the real binary, a real Redis, and a view file that is
// edited while devices and publishers are at work.
package filecluster
