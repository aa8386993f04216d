package main

import (
	"strings"
	"testing"
)

// The command line checks what is declared as JSON too, and takes lines as ordinary serializers write them.
func TestFix09CommandLineTakesWhatSerializersWrite(t *testing.T) {
	serving(t)
	bad(t, "", []string{"publish", "--user", "alice", "--content-type", "Application/JSON; charset=utf-8", "{"}, "payload is not one JSON value")
	bad(t, `{"user":"alice","content_type":"application/json; charset=utf-8","payload_b64":"ew=="}`, []string{"publish", "--file", "-"}, "payload is not one JSON value")
	good(t, "", "publish", "--user", "alice", "--content-type", "application/json; charset=utf-8", "{}")
	_, errOut, status := command(t, `{"user":"alice","users":null,"id":null,"priority":null,"ttl_ms":6e4,"payload":{},"payload_b64":null,"headers":{"a":null}}`, "publish", "--file", "-")
	if status != 0 || !strings.HasPrefix(errOut, "1 accepted, ") {
		t.Errorf("%d %q", status, errOut)
	}
}
