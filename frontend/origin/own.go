package origin

// AllowsSocket reports whether a page of an origin may open a WebSocket on host: browsers do not hold these to CORS, so the server
// has to. Programs send no origin, and the gateway's own pages are its own.
func (p *Policy) AllowsSocket(origin, host string) bool {
	if origin == "" || p.Allows(origin) {
		return true
	}
	// In development a page of any name could be the gateway's own, once it lets that name point here (DNS rebinding).
	return Own(origin, host) && (!p.loopback || LocalOrigin(origin))
}

// OwnOrNone reports whether a request with these values of Origin comes from a page of the server's own, or from no page.
func OwnOrNone(origins []string, host string) bool {
	return len(origins) == 0 || len(origins) == 1 && Own(origins[0], host)
}

// UntrustedHost reports a Host that may not be this server's, to be refused where there is no authentication: a page on a name that its
// owner lets point here would be every user (DNS rebinding). Its requests are of its own origin, and those by GET have no Origin. A
// name that nobody else can give out it cannot have.
func UntrustedHost(host string) bool { return host != "" && !Local(host) }
