package testserver

import (
	"fmt"
	"os"
	"path/filepath"
)

// CacheDir is where programs and libraries of servers are kept that no package of the system has. It may not exist.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("testserver: %w", err)
	}
	return filepath.Join(dir, "ramen-test"), nil
}
