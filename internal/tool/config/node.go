package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// node is a field of a configuration: a section with children, or a value.
type node struct {
	key      string   // its yaml name; of the root: empty
	path     []string // the names from the root down to it
	doc      string
	value    reflect.Value // addressable
	children []*node       // of a section
	section  bool
	sized    bool // an integer in bytes
	secret   bool
	partly   bool   // a part of it is secret, which its text leaves out
	short    string // a second name of its flag; empty: there is none
}

// name is the path as it is written in messages: frontend.ack_timeout.
func (n *node) name() string { return strings.Join(n.path, ".") }

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// tree describes what dst points to.
func tree(dst any) (*node, error) {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: destination is a %T; it should be a pointer to a struct", dst)
	}
	root := &node{value: v.Elem(), section: true}
	if err := root.grow(); err != nil {
		return nil, err
	}
	return root, root.distinct()
}

// grow adds the fields of a section.
func (n *node) grow() error {
	t := n.value.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if inline := strings.Contains(options, "inline"); inline && f.Type.Kind() == reflect.Struct {
			embedded := &node{path: n.path, value: n.value.Field(i), section: true}
			if err := embedded.grow(); err != nil {
				return err
			}
			n.children = append(n.children, embedded.children...)
			continue
		}
		if key == "" || key == "-" {
			continue
		}
		child := &node{
			key: key, path: append(n.path[:len(n.path):len(n.path)], key), doc: f.Tag.Get("doc"), value: n.value.Field(i),
			sized: f.Tag.Get("unit") == "bytes" || strings.HasSuffix(key, "_bytes"), secret: f.Tag.Get("secret") == "true",
			partly: f.Tag.Get("secret") == "part", short: f.Tag.Get("flag"),
		}
		if !f.IsExported() {
			return fmt.Errorf("config: field %s of %s has a yaml tag but is not exported", f.Name, t)
		}
		if err := child.classify(); err != nil {
			return err
		}
		n.children = append(n.children, child)
	}
	return nil
}

// classify tells sections from values, and refuses types that cannot be read.
func (n *node) classify() error {
	t := n.value.Type()
	if t.Kind() == reflect.Struct && !isScalar(t) {
		n.section = true
		return n.grow()
	}
	if !supported(t) {
		return fmt.Errorf("config: %s is a %s, which cannot be configured", n.name(), t)
	}
	return nil
}

// isScalar reports whether a value of t is one word of text.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

func supported(t reflect.Type) bool {
	if isScalar(t) {
		return true
	}
	switch t.Kind() {
	case reflect.Slice:
		return isScalar(t.Elem()) || t.Elem().Kind() == reflect.Struct
	case reflect.Map:
		return t.Key().Kind() == reflect.String && (isScalar(t.Elem()) || t.Elem().Kind() == reflect.Struct)
	}
	return false
}

// flat reports whether the value can be said in one line of text, and so in the environment and by a flag.
func (n *node) flat() bool {
	t := n.value.Type()
	return !n.section && (isScalar(t) || isScalar(t.Elem()))
}

// child is the child of that key, or nil.
func (n *node) child(key string) *node {
	for _, c := range n.children {
		if c.key == key {
			return c
		}
	}
	return nil
}

// values lists the values of n, from the top down.
func (n *node) values() []*node {
	if !n.section {
		return []*node{n}
	}
	var all []*node
	for _, c := range n.children {
		all = append(all, c.values()...)
	}
	return all
}

// distinct refuses a struct in which two fields have one name, in the file or in the environment.
func (n *node) distinct() error {
	seen := make(map[string]string)
	for _, v := range n.values() {
		if other, ok := seen[v.variable()]; ok {
			return fmt.Errorf("config: %s and %s have the same variable %s", other, v.name(), v.variable())
		}
		seen[v.variable()] = v.name()
	}
	return n.unique()
}

func (n *node) unique() error {
	var wrong []error
	for i, c := range n.children {
		if n.child(c.key) != n.children[i] {
			wrong = append(wrong, fmt.Errorf("config: two fields are named %s", c.name()))
		}
		wrong = append(wrong, c.unique())
	}
	return errors.Join(wrong...)
}
