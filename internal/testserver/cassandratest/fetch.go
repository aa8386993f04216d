package cassandratest

import (
	"context"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"ramen/internal/testserver"
)

//go:embed conf/pom.xml
var pom []byte

// Fetch gets the jars of a Cassandra node by Maven, where they are not there already: 66 MB. Several processes may call it at once.
func Fetch(ctx context.Context) (dir string, err error) {
	if dir, err = jarDir(); err != nil {
		return "", err
	}
	if err = os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", fmt.Errorf("cassandratest: fetch jars: %w", err)
	}
	lock, err := testserver.Lock(dir + ".lock")
	if err != nil {
		return "", fmt.Errorf("cassandratest: fetch jars: %w", err)
	}
	defer lock.Close()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// The folder has its name only once it is complete. What a killed process left of it is begun anew.
	part := dir + ".part"
	if err := errors.Join(os.RemoveAll(part), os.Mkdir(part, 0o700), os.WriteFile(part+"/pom.xml", pom, 0o600)); err != nil {
		return "", fmt.Errorf("cassandratest: fetch jars: %w", err)
	}
	mvn := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--strict-checksums",
		"--file", filepath.Join(part, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+part)
	if said, err := mvn.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cassandratest: fetch jars: %w: %s", errors.Join(err, os.RemoveAll(part)), said)
	}
	if err := os.Rename(part, dir); err != nil {
		return "", fmt.Errorf("cassandratest: fetch jars: %w", err)
	}
	return dir, nil
}

// jarDir is where the jars are or will be. Its name has their version.
func jarDir() (string, error) {
	var project struct {
		Version string `xml:"dependencies>dependency>version"`
	}
	if err := xml.Unmarshal(pom, &project); err != nil {
		return "", fmt.Errorf("cassandratest: read pom.xml: %w", err)
	}
	cache, err := testserver.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "cassandra-"+project.Version), nil
}
