package process

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of README.md with a comment before it that says how it is tested:
//
//	<!-- test VERB name="value" … -->
//
// serve starts the server (and ends the one before), run runs commands to their end, background starts one that goes on until the
// section ends, file writes a file (name), module is how a module takes the client, go builds a program in such a module and runs it. ready and want are regular expressions on the
// output, in which a dot is a line end, too.
type block struct {
	line                      int
	section, verb, text, name string
	ready, want               *regexp.Regexp
}

var (
	marker    = regexp.MustCompile(`^<!-- test (\w+)(.*) -->$`)
	attribute = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
)

func readme(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func readBlocks(t testing.TB) []block {
	t.Helper()
	var blocks []block
	section := ""
	lines := strings.Split(readme(t), "\n")
	for i := 0; i < len(lines); i++ {
		if strings.HasPrefix(lines[i], "## ") {
			section = lines[i][3:]
		}
		m := marker.FindStringSubmatch(lines[i])
		if m == nil || m[1] == "table" {
			continue
		}
		b := block{line: i + 1, section: section, verb: m[1]}
		b.attributes(t, m[2])
		if i++; !strings.HasPrefix(lines[i], "```") {
			t.Fatalf("README.md:%d: there is no block behind the comment", b.line)
		}
		var text []string
		for i++; lines[i] != "```"; i++ {
			text = append(text, lines[i])
		}
		b.text = strings.Join(text, "\n") + "\n"
		blocks = append(blocks, b)
	}
	if len(blocks) < 10 {
		t.Fatalf("README.md has %d blocks to test", len(blocks))
	}
	return blocks
}

func (b *block) attributes(t testing.TB, text string) {
	t.Helper()
	for _, a := range attribute.FindAllStringSubmatch(text, -1) {
		value := strings.ReplaceAll(a[2], `\"`, `"`)
		switch a[1] {
		case "ready":
			b.ready = regexp.MustCompile("(?s)" + value)
		case "want":
			b.want = regexp.MustCompile("(?s)" + value)
		case "name":
			b.name = value
		default:
			t.Fatalf("README.md:%d: there is no attribute %s", b.line, a[1])
		}
	}
}

// TestEveryShellBlockIsTested: a command that nobody runs is wrong sooner or later.
func TestEveryShellBlockIsTested(t *testing.T) {
	lines := strings.Split(readme(t), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "```") && line != "```" && !marker.MatchString(lines[i-1]) {
			t.Errorf("README.md:%d: the block has no <!-- test … --> before it", i+1)
		}
	}
}
