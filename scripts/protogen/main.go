// Command protogen generates the Go code of protobuf files without protoc: the compiler is a Go library, the plugins
// are the tools that go.mod pins, so that the output depends on the checkout alone and nothing is downloaded.
//
//	protogen [-out DIR] [-check] FILE.proto...
//
// Each file is generated beside its proto, or into DIR. With -check nothing is written: what is missing or not up to
// date is named, and the exit status is 1. It starts no goroutine of its own.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugins are tools of go.mod, by the last element of their path, and the parameter that each is given.
var plugins = []struct{ tool, parameter string }{
	{"protoc-gen-go", "paths=source_relative"},
	{"protoc-gen-go-grpc", "paths=source_relative"},
}

func main() {
	out := flag.String("out", "", "directory to write to; empty: beside each proto file")
	check := flag.Bool("check", false, "write nothing, fail where a generated file is not up to date")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: protogen [-out DIR] [-check] FILE.proto...")
		os.Exit(2)
	}
	var failed error
	for _, file := range flag.Args() {
		failed = errors.Join(failed, generate(file, *out, *check))
	}
	if failed != nil {
		fmt.Fprintln(os.Stderr, failed)
		os.Exit(1)
	}
}

// generate runs every plugin over one proto file, and writes or checks what they answer.
func generate(file, out string, check bool) error {
	if out == "" {
		out = filepath.Dir(file)
	}
	request, err := compile(file)
	if err != nil {
		return fmt.Errorf("protogen: compile %s: %w", file, err)
	}
	for _, p := range plugins {
		request.Parameter = proto.String(p.parameter)
		files, err := run(p.tool, request)
		if err != nil {
			return fmt.Errorf("protogen: run %s on %s: %w", p.tool, file, err)
		}
		for _, f := range files {
			if err := emit(filepath.Join(out, f.GetName()), []byte(f.GetContent()), check); err != nil {
				return err
			}
		}
	}
	return nil
}

// compile reads one proto file. Its imports may be files of its directory, and the well-known types.
func compile(file string) (*pluginpb.CodeGeneratorRequest, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{filepath.Dir(file)}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments go into the Go code
	}
	name := filepath.Base(file)
	files, err := c.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: []string{name}}
	seen := make(map[string]bool)
	for _, f := range files {
		request.ProtoFile = appendFile(request.ProtoFile, f, seen)
	}
	return request, nil
}

// appendFile puts what a file imports before it, as plugins want it.
func appendFile(all []*descriptorpb.FileDescriptorProto, f protoreflect.FileDescriptor, seen map[string]bool) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return all
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		all = appendFile(all, f.Imports().Get(i).FileDescriptor, seen)
	}
	return append(all, protodesc.ToFileDescriptorProto(f))
}

// run asks one plugin, as protoc would: a request on its stdin, the answer on its stdout.
func run(tool string, request *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", tool)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	return response.File, nil
}

// emit writes a generated file, or with check only compares it.
func emit(path string, content []byte, check bool) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, content) {
		return nil
	}
	if check {
		return fmt.Errorf("protogen: %s is not up to date: run go generate", path)
	}
	return os.WriteFile(path, content, 0o644)
}
