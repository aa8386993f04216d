//go:build !linux

package sock

// setOptions leaves the options to net here: TCP_NODELAY is its default, the others are Linux's.
func setOptions(int, Config) error { return nil }

func ensureOptions(int, Config) error { return nil }
