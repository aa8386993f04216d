// Package arrows holds the test of who may import whom: every package of the module is of a part, and each part declares its imports.
package arrows
