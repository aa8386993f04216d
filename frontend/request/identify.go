package request

import (
	"time"

	"ramen/frontend/auth"
	"ramen/protocol"
)

// identity is who is at the other end.
type identity struct {
	user    protocol.UserID
	device  protocol.DeviceID
	expires time.Time // zero: never
}

// identify finds out who a device is, by the rules of SPEC 4. authorization is the header's value, and wins over token where
// it is Bearer. One of another scheme is not for this server: browsers add theirs by themselves behind a proxy's login.
func (r *Reader) identify(authorization, token, user, device string) (identity, error) {
	if r.Tokens == nil {
		return developer(user, device)
	}
	if bearer, ok := auth.Bearer(authorization); ok {
		if bearer == "" {
			return identity{}, protocol.Errorf(protocol.CodeUnauthenticated, "Authorization has Bearer but no token: send Authorization: Bearer TOKEN")
		}
		token = bearer
	}
	switch {
	case token != "":
	case authorization != "":
		return identity{}, protocol.Errorf(protocol.CodeUnauthenticated, "Authorization is not Bearer TOKEN: send Authorization: Bearer TOKEN, or the parameter token")
	default:
		return identity{}, protocol.Errorf(protocol.CodeUnauthenticated, "token is missing: send Authorization: Bearer TOKEN, or the parameter token")
	}
	c, err := r.Tokens.Verify(token)
	if err != nil {
		return identity{}, err
	}
	if user != "" && user != string(c.User) {
		return identity{}, protocol.Errorf(protocol.CodePermissionDenied, "user differs from the token's user: omit it")
	}
	if c.Device != "" {
		if device != "" && device != string(c.Device) {
			return identity{}, protocol.Errorf(protocol.CodePermissionDenied, "device differs from the token's device: omit it")
		}
		device = string(c.Device)
	}
	if err := protocol.CheckDevice(device); err != nil {
		return identity{}, err
	}
	return identity{c.User, protocol.DeviceID(device), c.Expires}, nil
}

// developer takes a device at its word: authentication is off.
func developer(user, device string) (identity, error) {
	if err := protocol.CheckUser(user); err != nil {
		return identity{}, err
	}
	if err := protocol.CheckDevice(device); err != nil {
		return identity{}, err
	}
	return identity{user: protocol.UserID(user), device: protocol.DeviceID(device)}, nil
}
