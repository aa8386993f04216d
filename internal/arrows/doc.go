// Package arrows tests that imports follow the design.
package arrows
