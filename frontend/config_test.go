package frontend

import (
	"strings"
	"testing"
	"time"
)

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Origins = []string{"app.example", "https://ok.example"}
	c.Heartbeat = time.Minute + 1
	c.Credit = 0
	c.MaxStreams = -1
	err := c.Validate()
	if err == nil || strings.Count(err.Error(), "frontend: check configuration") != 4 {
		t.Fatalf("%v", err)
	}
}
