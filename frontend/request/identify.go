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

// identify finds out who a device is, by the rules of SPEC 4. parameter is the token in the query, or in gRPC's open.
func (r *Reader) identify(h *Head, parameter, user, device string) (identity, error) {
	if r.Tokens == nil {
		return developer(user, device)
	}
	token, err := r.token(h, parameter)
	if err != nil {
		return identity{}, err
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

// token is the one that a request shows. The header wins over the parameter where it is Bearer; one of another scheme is not for this
// server: browsers add theirs by themselves behind a proxy's login. The cookie comes last. SPEC 4.2.1, 4.6.
func (r *Reader) token(h *Head, parameter string) (string, error) {
	bearer, ok := auth.Bearer(h.Authorization)
	switch {
	case ok && bearer == "":
		return "", protocol.Errorf(protocol.CodeUnauthenticated, "Authorization has Bearer but no token: send Authorization: Bearer TOKEN")
	case ok:
		return bearer, nil
	case parameter != "":
		return parameter, nil
	}
	if token, err := r.cookie(h); token != "" || err != nil {
		return token, err
	}
	if h.Authorization != "" {
		return "", protocol.Errorf(protocol.CodeUnauthenticated, "Authorization is not Bearer TOKEN: send Authorization: Bearer TOKEN, or the parameter token")
	}
	return "", protocol.Errorf(protocol.CodeUnauthenticated, "token is missing: send Authorization: Bearer TOKEN, or the parameter token")
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
