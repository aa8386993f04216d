package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// flag is the name of n on the command line: dots between sections, dashes in words.
func (n *node) flag() string { return strings.ReplaceAll(n.name(), "_", "-") }

// BindFlags adds a flag for each value of dst, a pointer to a struct with its defaults, which Load will not see change:
// Load takes from flags what the user has set.
func BindFlags(flags *pflag.FlagSet, dst any) error {
	root, err := tree(dst)
	if err != nil {
		return err
	}
	for _, n := range root.values() {
		if !n.flat() {
			continue
		}
		f := flags.VarPF(&flagValue{of: n, text: n.shown()}, n.flag(), "", n.doc)
		if n.value.Kind() == reflect.Bool && isScalar(n.value.Type()) {
			f.NoOptDefVal = "true"
		}
		if n.short != "" {
			flags.VarPF(f.Value, n.short, "", "The same as --"+f.Name+".").DefValue = ""
		}
	}
	return nil
}

// flagValue is what the user has set one flag to.
type flagValue struct {
	of   *node
	text string
	set  bool
}

var _ pflag.Value = (*flagValue)(nil)

// Set takes text if it can be read. Lists and maps grow with each use of their flag. Of a secret Load says what is wrong: pflag would
// repeat it.
func (f *flagValue) Set(text string) error {
	if f.of.secret || f.of.partly {
		f.text, f.set = text, true
		return nil
	}
	if f.set && !isScalar(f.of.value.Type()) {
		text = f.text + "," + text
	}
	scratch := *f.of
	scratch.value = reflect.New(f.of.value.Type()).Elem()
	if err := scratch.setLine(text); err != nil {
		return err
	}
	f.text, f.set = text, true
	return nil
}

// String is the default, until the flag is set.
func (f *flagValue) String() string { return f.text }

// Type is what the usage text calls the value.
func (f *flagValue) Type() string {
	if f.of == nil { // pflag asks a zero value
		return "string"
	}
	return f.of.kind()
}

// kind names the type of the value for people.
func (n *node) kind() string {
	t := n.value.Type()
	switch {
	case t == durationType:
		return "duration"
	case t == reflect.TypeFor[Bytes]() || n.sized:
		return "size"
	case t == reflect.TypeFor[time.Time]():
		return "time"
	case isScalar(t) && reflect.PointerTo(t).Implements(textUnmarshaler), t.Kind() == reflect.String:
		return "string"
	case t.Kind() == reflect.Bool:
		return "bool"
	case t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Map:
		return "pairs"
	}
	return "integer"
}

// readFlags fills root from the flags that were set.
func (p *problems) readFlags(root *node, flags *pflag.FlagSet) {
	known := make(map[string]*node)
	for _, n := range root.values() {
		known[n.flag()] = n
	}
	flags.Visit(func(f *pflag.Flag) {
		v, ours := f.Value.(*flagValue)
		if !ours {
			return
		}
		n := known[v.of.flag()]
		if n == nil {
			p.addf("--%s: unknown key", f.Name)
			return
		}
		if err := n.setLine(v.text); err != nil {
			p.addf("--%s: %s: %w", f.Name, n.quote(v.text), err)
		}
	})
}

// FlagError adds the nearest flag to an error of parsing about one that there is not.
func FlagError(flags *pflag.FlagSet, err error) error {
	var missing *pflag.NotExistError
	if !errors.As(err, &missing) {
		return err
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near, ok := nearest(missing.GetSpecifiedName(), names); ok {
		return fmt.Errorf("%w; the nearest is --%s", err, near)
	}
	return err
}
