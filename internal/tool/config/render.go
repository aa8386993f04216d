package config

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// width is where comments are broken, in characters.
const width = 110

// hidden stands for a secret that is set.
const hidden = "(secret)"

// WriteYAML writes the configuration that src points to, with the doc tags as comments. Secrets are left out.
func WriteYAML(w io.Writer, src any) error {
	root, err := tree(src)
	if err != nil {
		return err
	}
	var b strings.Builder
	for i, c := range root.children {
		if i > 0 && (c.section || root.children[i-1].section) {
			b.WriteByte('\n')
		}
		c.write(&b, "")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// write adds n, indented.
func (n *node) write(b *strings.Builder, indent string) {
	for _, line := range wrap(n.doc, width-len(indent)) {
		b.WriteString(indent + "# " + line + "\n")
	}
	b.WriteString(indent + n.key + ":")
	if n.section {
		b.WriteByte('\n')
		for _, c := range n.children {
			c.write(b, indent+"  ")
		}
		return
	}
	if n.secret && !n.value.IsZero() {
		b.WriteString(" # " + hidden + "\n")
		return
	}
	n.writeValue(b, n.value, indent+"  ")
}

// writeValue adds what stands after "key:", with its line end.
func (n *node) writeValue(b *strings.Builder, v reflect.Value, indent string) {
	t := v.Type()
	switch {
	case isScalar(t):
		b.WriteString(" " + n.literal(v) + "\n")
	case t.Kind() == reflect.Slice && v.Len() == 0:
		b.WriteString(" []\n")
	case t.Kind() == reflect.Map && v.Len() == 0:
		b.WriteString(" {}\n")
	case t.Kind() == reflect.Slice && isScalar(t.Elem()):
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = n.literal(v.Index(i))
		}
		b.WriteString(" [" + strings.Join(parts, ", ") + "]\n")
	case t.Kind() == reflect.Slice:
		b.WriteByte('\n')
		for i := range v.Len() {
			b.WriteString(indent + "-\n")
			n.writeStruct(b, v.Index(i), indent+"  ")
		}
	case t.Kind() == reflect.Map:
		b.WriteByte('\n')
		for _, k := range sortedKeys(v) {
			b.WriteString(indent + strconv.Quote(k.String()) + ":")
			n.writeValue(b, addressable(v.MapIndex(k)), indent+"  ")
		}
	default:
		b.WriteByte('\n')
		n.writeStruct(b, v, indent)
	}
}

// writeStruct adds the fields of an element of a list or a map, without comments.
func (n *node) writeStruct(b *strings.Builder, v reflect.Value, indent string) {
	e := &node{value: addressable(v), section: true}
	if err := e.grow(); err != nil {
		panic(err) // classify has let it pass
	}
	for _, c := range e.children {
		c.doc, c.secret = "", c.secret || n.secret
		c.write(b, indent)
	}
}

// literal is a scalar as YAML.
func (n *node) literal(v reflect.Value) string {
	s := formatText(v, n.sized)
	if v.Kind() != reflect.String && plain(s) {
		return s
	}
	return strconv.Quote(s)
}

// plain reports whether s needs no quotes in YAML.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '.' || c == '+' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && !strings.EqualFold(s, "null")
}

func addressable(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v
	}
	a := reflect.New(v.Type()).Elem()
	a.Set(v)
	return a
}

// shown is the value as people see it in a table or a usage text.
func (n *node) shown() string {
	if n.secret && !n.value.IsZero() {
		return hidden
	}
	return n.line()
}

// WriteMarkdown writes a table of all values of the configuration that src points to.
func WriteMarkdown(w io.Writer, src any) error {
	root, err := tree(src)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("| key | variable | default | what |\n| --- | --- | --- | --- |\n")
	for _, n := range root.values() {
		value := n.shown()
		if value != "" {
			value = "`" + value + "`"
		}
		variable := "(file only)"
		if n.flat() {
			variable = "`" + n.variable() + "`"
		}
		cells := []string{"`" + n.name() + "`", variable, value, n.doc}
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// wrap breaks text into lines of up to width characters.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
