package netspace

import "errors"

// ErrNoSpaces is the answer where networks cannot be made: no Linux, no rights, or no ip(8).
var ErrNoSpaces = errors.New("netspace: no network namespaces can be made here")
