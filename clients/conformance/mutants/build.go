package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// client is how a client's mutants are made.
type client struct {
	sources string // folder of the mutants' files, below clients/
	// missing says what the machine lacks to run the client; empty: nothing.
	missing func(clients string) string
	// build makes the adapter of a client whose file has another text, in folder, and answers its command. file is empty where the client
	// is to be as it is.
	build func(ctx context.Context, clients, folder, file, text string) (string, error)
}

var clients = map[string]client{
	"go":     {sources: "go", missing: missingGo, build: buildGo},
	"web":    {sources: "web/src", missing: missingWeb, build: buildWeb},
	"python": {sources: "python/src/ramen_client", missing: missingPython, build: buildPython},
	"java":   {sources: "java/client/src/main/java/ramen/client", missing: missingJava, build: buildJava},
}

// root is the folder clients/.
func root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("mutants: the folder of the sources cannot be told")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file))), nil
}

func missingGo(string) string { return missingCommand("go") }

func missingCommand(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return name + " is missing"
	}
	return ""
}

// buildGo builds with an overlay.
func buildGo(ctx context.Context, clients, folder, file, text string) (string, error) {
	replace := map[string]string{}
	if file != "" {
		changed := filepath.Join(folder, filepath.Base(file))
		if err := os.WriteFile(changed, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("mutants: %w", err)
		}
		replace[filepath.Join(clients, "go", file)] = changed
	}
	overlay := filepath.Join(folder, "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	if err := os.WriteFile(overlay, b, 0o644); err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	binary := filepath.Join(folder, "adapter")
	return binary, run(ctx, filepath.Join(clients, "go"), "go", "build", "-overlay", overlay, "-o", binary, "./conformance")
}

func missingWeb(clients string) string {
	if why := missingCommand("node"); why != "" {
		return why
	}
	if _, err := os.Stat(filepath.Join(clients, "web/node_modules/esbuild")); err != nil {
		return "clients/web/node_modules is missing: npm ci, or make clients-test, makes it"
	}
	return ""
}

// buildWeb builds a copy of the package, with the libraries of the original.
func buildWeb(ctx context.Context, clients, folder, file, text string) (string, error) {
	web := filepath.Join(clients, "web")
	for _, part := range []string{"src", "scripts", "conformance"} {
		if err := copyTree(filepath.Join(web, part), filepath.Join(folder, part)); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"package.json", "tsconfig.json"} {
		if err := copyFile(filepath.Join(web, name), filepath.Join(folder, name)); err != nil {
			return "", err
		}
	}
	if err := os.Symlink(filepath.Join(web, "node_modules"), filepath.Join(folder, "node_modules")); err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	if err := change(filepath.Join(folder, "src"), file, text); err != nil {
		return "", err
	}
	return "node " + filepath.Join(folder, "conformance/adapter.mjs"), run(ctx, folder, "node", "scripts/build.mjs", "--no-types")
}

// interpreter finds the one of the environment that clients/python/check.sh makes.
func interpreter(clients string) string {
	found, _ := filepath.Glob(filepath.Join(clients, "python/.venv/3.*/bin/python")) // the pattern is right
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func missingPython(clients string) string {
	if interpreter(clients) == "" {
		return "clients/python/.venv is missing: clients/python/check.sh, or make clients-test, makes it"
	}
	return ""
}

// buildPython copies the package; there is nothing to build.
func buildPython(_ context.Context, clients, folder, file, text string) (string, error) {
	for _, part := range []string{"src", "conformance"} {
		if err := copyTree(filepath.Join(clients, "python", part), filepath.Join(folder, part)); err != nil {
			return "", err
		}
	}
	if err := change(filepath.Join(folder, "src/ramen_client"), file, text); err != nil {
		return "", err
	}
	return "env PYTHONDONTWRITEBYTECODE=1 " + interpreter(clients) + " " + filepath.Join(folder, "conformance/adapter.py"), nil
}

// javaLibraries are what the client in Java is compiled and run with. Among them is a jar of the client as Maven has built it: what is
// compiled here comes before it.
const javaLibraries = "java/conformance/target/lib"

func missingJava(clients string) string {
	if why := missingCommand("javac"); why != "" {
		return why
	}
	if _, err := os.Stat(filepath.Join(clients, javaLibraries)); err != nil {
		return "clients/" + javaLibraries + " is missing: mvn package, or make clients-test, makes it"
	}
	return ""
}

// buildJava compiles a copy of the client's sources, all of them, since the compiler copies constants from class to class.
func buildJava(ctx context.Context, clients, folder, file, text string) (string, error) {
	sources := filepath.Join(folder, "src")
	for _, module := range []string{"client", "grpc", "conformance"} {
		if err := copyTree(filepath.Join(clients, "java", module, "src/main/java"), sources); err != nil {
			return "", err
		}
	}
	if err := change(filepath.Join(sources, "ramen/client"), file, text); err != nil {
		return "", err
	}
	args := []string{"-proc:none", "-nowarn", "-d", "classes", "-cp", filepath.Join(clients, javaLibraries, "*")}
	err := filepath.WalkDir(sources, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			args = append(args, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("mutants: %w", err)
	}
	path := filepath.Join(folder, "classes") + ":" + filepath.Join(clients, javaLibraries, "*")
	return "java -XX:TieredStopAtLevel=1 -cp " + path + " ramen.client.Adapter", run(ctx, folder, "javac", args...)
}

// change writes the text of a file in a copy of the sources.
func change(sources, file, text string) error {
	if file == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(sources, file), []byte(text), 0o644); err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	return nil
}

func run(ctx context.Context, folder, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mutants: %s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// copyTree copies the files below a folder, but what interpreters leave there.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("mutants: %w", err)
		case e.IsDir() && e.Name() == "__pycache__":
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return fmt.Errorf("mutants: %w", err)
		}
		return copyFile(path, filepath.Join(to, below))
	})
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	return nil
}
