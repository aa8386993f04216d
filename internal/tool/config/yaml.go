package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlReader fills a tree from one file.
type yamlReader struct {
	*problems
	file string
	root *node
}

// readYAML fills root from data.
func (p *problems) readYAML(root *node, file string, data []byte) {
	r := yamlReader{p, file, root}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := d.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF): // nothing in it: all defaults
		return
	case err != nil:
		r.syntax(err)
		return
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		r.addf("%s:%d: it has a second document; use one", file, second.Line)
		return
	}
	r.section(root, doc.Content[0])
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntax reports a file that is no YAML, with its line where other errors have it.
func (r *yamlReader) syntax(err error) {
	text := err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		r.addf("%s:%s: invalid YAML: %s", r.file, m[1], text[len(m[0]):])
		return
	}
	r.addf("%s: invalid YAML: %s", r.file, text)
}

// at reports what is wrong with key where y stands.
func (r *yamlReader) at(y *yaml.Node, key, format string, args ...any) {
	r.addf("%s:%d: %s: %s", r.file, y.Line, key, fmt.Sprintf(format, args...))
}

// section fills the fields of n. A section with nothing in it keeps its defaults.
func (r *yamlReader) section(n *node, y *yaml.Node) {
	y = resolve(y)
	if isNull(y) {
		return
	}
	if y.Kind != yaml.MappingNode {
		r.at(y, orRoot(n.name()), "it is %s; use a section, with lines of key: value", kindOf(y))
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if line, ok := seen[key.Value]; ok {
			r.at(key, dotted(n, key.Value), "it is set twice, first in line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		c := n.child(key.Value)
		switch {
		case c == nil:
			r.at(key, dotted(n, key.Value), "unknown key; %s", r.advise(n, key.Value))
		case c.section:
			r.section(c, value)
		default:
			r.value(c, c.value, c.name(), value)
		}
	}
}

// advise says what may have been meant by a key that n does not have: the nearest that it has, a key of that name
// elsewhere (a slip of indentation), or else all that it has.
func (r *yamlReader) advise(n *node, key string) string {
	var here []string
	for _, c := range n.children {
		here = append(here, c.key)
	}
	if near, ok := nearest(key, here); ok {
		return "the nearest is " + dotted(n, near)
	}
	for _, v := range r.root.values() {
		if v.key == key {
			return "there is " + v.name()
		}
	}
	return "there are " + strings.Join(here, ", ")
}

// value fills v, the value of n or an element of it, called name. A value that is null keeps its default.
func (r *yamlReader) value(n *node, v reflect.Value, name string, y *yaml.Node) {
	y = resolve(y)
	switch t := v.Type(); {
	case isNull(y):
	case isScalar(t):
		if y.Kind != yaml.ScalarNode {
			r.at(y, name, "it is %s; use a single value", kindOf(y))
		} else if err := setText(v, y.Value, n.sized); err != nil {
			r.at(y, name, "%s: %v", n.quote(y.Value), err)
		}
	case t.Kind() == reflect.Slice:
		r.list(n, v, name, y)
	case t.Kind() == reflect.Map:
		r.dictionary(n, v, name, y)
	default:
		r.element(n, v, name, y)
	}
}

// element fills a struct in a list or a map.
func (r *yamlReader) element(n *node, v reflect.Value, name string, y *yaml.Node) {
	e := &node{path: []string{name}, value: v, section: true, secret: n.secret}
	if err := e.grow(); err != nil {
		r.all = append(r.all, err)
		return
	}
	r.section(e, y)
}

func (r *yamlReader) list(n *node, v reflect.Value, name string, y *yaml.Node) {
	if y.Kind != yaml.SequenceNode {
		r.at(y, name, "it is %s; use a list, such as [a, b]", kindOf(y))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(y.Content), len(y.Content))
	for i, item := range y.Content {
		r.value(n, list.Index(i), fmt.Sprintf("%s[%d]", name, i), item)
	}
	v.Set(emptyIsNil(list))
}

func (r *yamlReader) dictionary(n *node, v reflect.Value, name string, y *yaml.Node) {
	if y.Kind != yaml.MappingNode {
		r.at(y, name, "it is %s; use lines of key: value", kindOf(y))
		return
	}
	t := v.Type()
	m := reflect.MakeMap(t)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := reflect.ValueOf(y.Content[i].Value).Convert(t.Key())
		if m.MapIndex(key).IsValid() {
			r.at(y.Content[i], name+"."+key.String(), "it is set twice")
			continue
		}
		e := reflect.New(t.Elem()).Elem()
		r.value(n, e, name+"."+key.String(), y.Content[i+1])
		m.SetMapIndex(key, e)
	}
	v.Set(emptyIsNil(m))
}

// resolve follows an alias.
func resolve(y *yaml.Node) *yaml.Node {
	if y.Kind == yaml.AliasNode {
		return y.Alias
	}
	return y
}

func isNull(y *yaml.Node) bool { return y.Kind == yaml.ScalarNode && y.ShortTag() == "!!null" }

func kindOf(y *yaml.Node) string {
	switch y.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	return "one value"
}

func dotted(n *node, key string) string {
	if len(n.path) == 0 {
		return key
	}
	return n.name() + "." + key
}

func orRoot(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}
