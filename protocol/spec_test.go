package protocol

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// specRule finds where SPEC.md numbers a section, a topic or a rule: headings, list items and first columns.
var specRule = regexp.MustCompile(`(?m)^(?:## (\d+)\. |### (\d+\.\d+) |- \*\*(\d+\.\d+\.\d+)\*\* |\| (\d+\.\d+\.\d+) \|)`)

// specNumbers are the numbers that SPEC.md has, in the order of the page.
func specNumbers(t *testing.T) (text string, numbers []string) {
	t.Helper()
	b, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range specRule.FindAllStringSubmatch(string(b), -1) {
		numbers = append(numbers, m[1]+m[2]+m[3]+m[4])
	}
	return string(b), numbers
}

// TestSpecIsNumberedWithoutGaps: a citation would be worth nothing if a number stood twice or moved.
func TestSpecIsNumberedWithoutGaps(t *testing.T) {
	_, numbers := specNumbers(t)
	last := make(map[string]int) // the number that stands above, "" for sections → its latest child
	for _, n := range numbers {
		parent, child := "", n
		if i := strings.LastIndexByte(n, '.'); i >= 0 {
			parent, child = n[:i], n[i+1:]
		}
		if parent != "" && !slices.Contains(numbers, parent) {
			t.Errorf("%s stands under no heading %s", n, parent)
		}
		if c, _ := strconv.Atoi(child); c != last[parent]+1 {
			t.Errorf("%s comes where %s should have its number %d", n, parent, last[parent]+1)
		}
		last[parent]++
	}
	if last[""] != 10 || len(numbers) < 300 {
		t.Errorf("%d sections and %d numbers are found: the page or this test has lost most of it", last[""], len(numbers))
	}
}

var (
	citation = regexp.MustCompile(`SPEC (\d+(?:\.\d+)*(?:(?:, | and | to |–)\d+(?:\.\d+)*)*)`)
	cited    = regexp.MustCompile(`\d+(?:\.\d+)*`)
	codeSpan = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	inPage   = regexp.MustCompile(`(?:^|[^\d./])(\d+\.\d+(?:\.\d+)?)\b`)
)

// TestSpecHasWhatIsCited: every "SPEC 2.8.1" in code and documents exists, and so does every number by which SPEC.md
// refers to itself.
func TestSpecHasWhatIsCited(t *testing.T) {
	text, numbers := specNumbers(t)
	for _, m := range inPage.FindAllStringSubmatch(codeSpan.ReplaceAllString(text, ""), -1) {
		if m[1] != "1.25" && !slices.Contains(numbers, m[1]) { // 2.8.2 has 1.25 intervals
			t.Errorf("SPEC.md refers to %s, which it does not have", m[1])
		}
	}
	citations := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "data"):
			return fs.SkipDir
		case !slices.Contains([]string{".go", ".proto", ".md", ".html", ".sh", ".yaml"}, filepath.Ext(file)):
			return nil
		}
		b, err := os.ReadFile(file)
		for _, m := range citation.FindAllStringSubmatch(string(b), -1) {
			for _, n := range cited.FindAllString(m[1], -1) {
				if citations++; !slices.Contains(numbers, n) {
					t.Errorf("%s cites SPEC %s, which SPEC.md does not have", filepath.Clean(file), n)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if citations < 100 {
		t.Errorf("only %d citations are found: this test looks in the wrong place", citations)
	}
}
