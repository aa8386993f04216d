package config

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// Load fills dst, a pointer to a struct with its defaults, from the YAML file (empty: none), from environ (as
// os.Environ gives it) and from the flags that BindFlags added and the user has set (nil: none), each over the one
// before. Then it asks dst, or if it has no Validate method its sections, whether they are valid.
func Load(dst any, file string, environ []string, flags *pflag.FlagSet) error {
	root, err := tree(dst)
	if err != nil {
		return err
	}
	var p problems
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("config: read file: %w", err) // it names the file
		}
		p.readYAML(root, file, data)
	}
	p.readEnviron(root, environ)
	if flags != nil {
		p.readFlags(root, flags)
	}
	if err := p.err(); err != nil {
		return err
	}
	p.validate(root)
	return p.err()
}

// problems collects what is wrong, so that it is all told at once.
type problems struct{ all []error }

func (p *problems) addf(format string, args ...any) {
	p.all = append(p.all, fmt.Errorf("config: "+format, args...))
}

func (p *problems) err() error { return errors.Join(p.all...) }

// validator is a section that can say what is wrong with it. It speaks for the sections in it, too.
type validator interface{ Validate() error }

func (p *problems) validate(n *node) {
	if v, ok := n.value.Addr().Interface().(validator); ok {
		switch err := v.Validate(); {
		case err == nil:
		case n.key == "":
			p.addf("%w", err)
		default:
			p.addf("%s: %w", n.name(), err)
		}
		return
	}
	for _, c := range n.children {
		p.validate(c)
	}
}
