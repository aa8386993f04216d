package config

import (
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
	var names []string
	for _, n := range root.values() {
		known[n.variable()] = n
		names = append(names, strings.TrimPrefix(n.variable(), prefix))
	}
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		n := known[name]
		switch {
		case n == nil && isOther(name, text):
		case n == nil:
			p.addf("%s: there is no such variable; %s", name, adviseVariable(name, names))
		default:
			if err := n.setLine(text); err != nil {
				p.addf("%s: %s: %w", name, n.quote(text), err)
			}
		}
	}
}

// adviseVariable says what may have been meant.
func adviseVariable(name string, names []string) string {
	if near, ok := nearest(strings.TrimPrefix(name, prefix), names); ok {
		return "the nearest is " + prefix + near
	}
	return "its name should be " + prefix + " and the path of a key, like FRONTEND_LISTEN for frontend.listen"
}

func isOther(name, text string) bool {
	if slices.Contains(otherVariables, name) || serviceLink.MatchString(name) {
		return true
	}
	// The last form of a service link: RAMEN_PORT=tcp://10.0.0.1:8080.
	return strings.HasSuffix(name, "_PORT") && strings.Contains(text, "://")
}
