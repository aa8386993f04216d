package config

import (
	"slices"
	"strings"
	"testing"
)

// TestFix08ForeignVariablesDoNotStopTheServer: an image's RAMEN_VERSION is nobody's key. What may be a mistyped key stays an
// error, and the example that it gives is a key that there is.
func TestFix08ForeignVariablesDoNotStopTheServer(t *testing.T) {
	type section struct {
		Window int    `yaml:"window"`
		Data   string `yaml:"data_folder"`
	}
	var s struct {
		Gateway section `yaml:"gateway"`
		Data    string  `yaml:"data"`
	}
	foreign := []string{"RAMEN_IMAGE_TAG=7", "RAMEN_KEY=k", "RAMEN_SERVICE_HOST=10.0.0.1", "RAMEN_VERSION=1.2", "PATH=/bin"}
	if err := Load(&s, "", foreign, nil); err != nil {
		t.Errorf("foreign variables: %v", err)
	}
	names, err := IgnoredVariables(&s, append(foreign, "RAMEN_DATA=x", "RAMEN_GATEWAY_WINDO=5"))
	if want := []string{"RAMEN_IMAGE_TAG", "RAMEN_VERSION"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("ignored: %v, %v, not %v", names, err, want)
	}
	for variable, want := range map[string]string{
		"RAMEN_GATEWAY_WINDO=5": "the nearest is RAMEN_GATEWAY_WINDOW",
		"RAMEN_GATEWAY_SHARE=5": "RAMEN_GATEWAY_WINDOW is gateway.window, for example",
		"RAMEN_DATA_DIR=/x":     "RAMEN_DATA is data, for example",
	} {
		if err := Load(&s, "", []string{variable}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", variable, err, want)
		}
	}
}
