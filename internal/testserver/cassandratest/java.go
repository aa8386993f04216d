package cassandratest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"

	"ramen/internal/testserver"
)

// install is what a node is started from.
type install struct {
	java string // the program
	jars string // the folder

	properties []string // of the JVM, beside those of all nodes
}

// Needed skips a test where a node cannot be started.
func Needed(t testserver.TB) {
	t.Helper()
	find(t)
}

// find answers what is installed, or skips the test.
func find(t testserver.TB) install {
	t.Helper()
	java := findJava()
	if java == "" {
		t.Skipf("skipped: there is no Java 17, on which Cassandra runs (scripts/test.sh installs it on Debian, as root)")
	}
	jars, err := jarDir()
	if err == nil {
		_, err = os.Stat(jars)
	}
	if err != nil {
		t.Skipf("skipped: Cassandra's jars are not there (scripts/test.sh fetches them, or go run ./internal/testserver/fetch): %v", err)
	}
	return install{java: java, jars: jars}
}

// findJava is a Java 17, of JAVA_HOME, the PATH, or where Debian has it; empty: none.
func findJava() string {
	candidates := []string{filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")}
	if path, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, path)
	}
	debian, _ := filepath.Glob("/usr/lib/jvm/*17*/bin/java")
	for _, java := range append(candidates, debian...) {
		java, err := filepath.EvalSymlinks(java)
		if err != nil {
			continue
		}
		release, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(java)), "release"))
		if err == nil && bytes.Contains(release, []byte(`JAVA_VERSION="17`)) {
			return java
		}
	}
	return ""
}
