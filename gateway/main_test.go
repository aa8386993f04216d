package gateway

import (
	"testing"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m)) }
