package process

import (
	"testing"

	"ramen/internal/testprocess"
)

// binary is cmd/ramen.
var binary string

func TestMain(m *testing.M) { testprocess.Main(m, &binary) }
