package console

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// TestClientIsOfTheSourcesThatAreThere: ramen.min.js was built of what clients/web has now. sources.sum beside it is written by
// `make console-client`, which builds it; scripts/clients-test.sh builds it too, and compares.
func TestClientIsOfTheSourcesThatAreThere(t *testing.T) {
	recorded, err := os.ReadFile("sources.sum")
	if err != nil {
		t.Fatal(err)
	}
	web := filepath.Join("..", "..", "clients", "web")
	var files []string
	err = filepath.WalkDir(filepath.Join(web, "src"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(web, "package-lock.json"), filepath.Join(web, "scripts", "build.mjs"), "ramen.min.js")
	var lines []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		lines = append(lines, hex.EncodeToString(sum[:])+"  "+strings.TrimPrefix(filepath.ToSlash(file), "../../clients/web/")+"\n")
	}
	sort.Strings(lines)
	if want := strings.Join(lines, ""); want != string(recorded) {
		t.Errorf("ramen.min.js is not of the sources of clients/web: make console-client\n%s", want)
	}
}
