package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

const protoDir = "../../protocol"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGeneratedCodeIsUpToDate(t *testing.T) {
	if err := generate(filepath.Join(protoDir, "ramenpb/ramen.proto"), "", true); err != nil {
		t.Error(err)
	}
}

// TestSpecIsTheProto: the proto that SPEC.md shows says what ramen.proto says, but for the Go package.
func TestSpecIsTheProto(t *testing.T) {
	spec, err := os.ReadFile(filepath.Join(protoDir, "SPEC.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(spec), "```proto\n")
	block, _, found := strings.Cut(block, "\n```")
	if !found {
		t.Fatal("SPEC.md has no proto block")
	}
	shown := filepath.Join(t.TempDir(), "ramen.proto")
	if err := os.WriteFile(shown, []byte(block), 0o644); err != nil {
		t.Fatal(err)
	}
	want, got := descriptor(t, shown), descriptor(t, filepath.Join(protoDir, "ramenpb/ramen.proto"))
	if !proto.Equal(want, got) {
		t.Errorf("SPEC.md says\n%v\n\nramen.proto says\n%v", want, got)
	}
}

func descriptor(t *testing.T, file string) *descriptorpb.FileDescriptorProto {
	t.Helper()
	request, err := compile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := request.ProtoFile[len(request.ProtoFile)-1]
	f.SourceCodeInfo, f.Options = nil, nil
	return f
}

func TestWhatIsNotUpToDateIsNamedAndNotWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.proto")
	if err := os.WriteFile(file, []byte("syntax = \"proto3\"; package a; option go_package = \"a/a\"; message A { int32 n = 1; }"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := generate(file, "", true); err == nil || !strings.Contains(err.Error(), "a.pb.go") {
		t.Errorf("nothing is generated yet, and the check says %v", err)
	}
	if all, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*.go")); len(all) != 0 {
		t.Errorf("the check wrote %v", all)
	}
	if err := generate(file, "", false); err != nil {
		t.Fatal(err)
	}
	if err := generate(file, "", true); err != nil {
		t.Errorf("just generated, and the check says %v", err)
	}
	if err := os.WriteFile(file, []byte("syntax = \"proto4\";"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := generate(file, "", false); err == nil || !strings.Contains(err.Error(), "a.proto") {
		t.Errorf("a file that does not compile: %v", err)
	}
}
