package report

import "html/template"

var page = template.Must(template.New("page").Parse(`<!doctype html><title>x</title>`))
