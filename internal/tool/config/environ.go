package config

import (
	"iter"
	"regexp"
	"slices"
	"strings"
)

// prefix begins every variable that is for us.
const prefix = "RAMEN_"

// Variables that begin like ours and are not of the configuration: the file that it is in, and what the command line's
// clients are told.
var otherVariables = []string{"RAMEN_CONFIG", "RAMEN_BACKENDS_URL", "RAMEN_DEVICES_URL", "RAMEN_DEVICES_GRPC", "RAMEN_KEY", "RAMEN_TOKEN"}

// serviceLink is what Kubernetes puts into the environment of every pod for a service whose name begins with ramen:
// RAMEN_SERVICE_HOST, RAMEN_FRONTEND_PORT_8080_TCP_ADDR and so on.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// variable is the name of n in the environment.
func (n *node) variable() string {
	return prefix + strings.ToUpper(strings.ReplaceAll(strings.Join(n.path, "_"), "-", "_"))
}

// readEnviron fills root from variables.
func (p *problems) readEnviron(root *node, environ []string) {
	known := make(map[string]*node)
	for _, n := range root.values() {
		known[n.variable()] = n
	}
	for name, text := range ours(environ) {
		n := known[name]
		if n == nil {
			if advice, meant := root.meant(name, text); meant {
				p.addf("%s: unknown variable; %s", name, advice)
			}
			continue
		}
		if err := n.setLine(text); err != nil {
			p.addf("%s: %s: %w", name, n.quote(text), err)
		}
	}
}

// IgnoredVariables names the variables of environ that begin like those of the configuration dst, a pointer to a struct, and are
// taken for somebody else's: RAMEN_VERSION of an image, say. What may be a mistyped key is no such variable but an error of Load.
func IgnoredVariables(dst any, environ []string) ([]string, error) {
	root, err := tree(dst)
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	for _, n := range root.values() {
		known[n.variable()] = true
	}
	var names []string
	for name, text := range ours(environ) {
		if _, meant := root.meant(name, text); !known[name] && !meant && !isOther(name, text) {
			names = append(names, name)
		}
	}
	return names, nil
}

// ours are the variables with our prefix, by name, in order.
func ours(environ []string) iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		for _, pair := range slices.Sorted(slices.Values(environ)) {
			name, text, _ := strings.Cut(pair, "=")
			if strings.HasPrefix(name, prefix) && !yield(name, text) {
				return
			}
		}
	}
}

// meant reports whether the variable name, which is no key's, may have been meant for one, and then says for which: its name is near
// to a key's, or begins with the name of a key or section of the first level.
func (n *node) meant(name, text string) (advice string, meant bool) {
	if isOther(name, text) {
		return "", false
	}
	path := strings.TrimPrefix(name, prefix)
	var names []string
	for _, v := range n.values() {
		names = append(names, strings.TrimPrefix(v.variable(), prefix))
	}
	if near, ok := nearest(path, names); ok {
		return "the nearest is " + prefix + near, true
	}
	for _, section := range n.children {
		if values := section.values(); strings.HasPrefix(path, strings.ToUpper(section.key)+"_") && len(values) > 0 {
			return values[0].variable() + " is " + values[0].name() + ", for example; ramen config --markdown lists them all", true
		}
	}
	return "", false
}

func isOther(name, text string) bool {
	if slices.Contains(otherVariables, name) || serviceLink.MatchString(name) {
		return true
	}
	// The last form of a service link: RAMEN_PORT=tcp://10.0.0.1:8080.
	return strings.HasSuffix(name, "_PORT") && strings.Contains(text, "://")
}
