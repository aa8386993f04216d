package report

import (
	"html/template"
	"io"
)

// WriteHTML writes one page that needs nothing else.
func (r *Report) WriteHTML(w io.Writer) error { return page.Execute(w, r) }

// Shown is a row as the page shows it.
func (r *Row) Shown() string { return Number(r.Value) + " " + r.Unit }

// Verdict says how the figure stands to its budget.
func (r *Row) Verdict() string { return r.verdict() }

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>RAMEN load test</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1400px; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .15rem .8rem .15rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.n { text-align: right; font-variant-numeric: tabular-nums } .bad { color: #b00; font-weight: 600 } .good { color: #070 }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1rem } figure { margin: 0 } figcaption { font-weight: 600 }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: currentColor } .g { stroke: currentColor; stroke-opacity: .15 }
code { background: #f3f3f3; padding: .1rem .3rem; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } td, th { border-color: #444 } code { background: #2a2a2a } .bad { color: #f77 } .good { color: #7d7 } }
</style></head><body>
<h1>RAMEN load test</h1>
<p>{{.Began.Format "2006-01-02 15:04:05 MST"}} · version {{.Version}} · {{.Machine}}<br><code>{{.Command}}</code></p>
{{with .Table}}
<table><tr><th>measure</th><th>result</th><th>baseline</th><th>by baseline (the budget’s)</th><th>budget</th><th>met?</th></tr>
{{range .}}{{$line := .}}<tr><td>{{.Measure}}</td>{{range $i, $cell := .Cells}}<td class="{{if lt $i 4}}n{{else if $line.Met}}good{{else}}bad{{end}}">{{$cell}}</td>{{end}}</tr>{{end}}
</table>
{{end}}
{{range .Sections}}
<h2>{{.Scenario}}{{if .Baseline}} (baseline){{end}}</h2>
<p>{{.About}}{{with .Command}}<br><code>{{.}}</code>{{end}}</p>
{{with .Failed}}<p class="bad">It did not finish: {{.}}</p>{{end}}
{{if .Counts}}<p class="bad">Promises were not kept:{{range $kind, $n := .Counts}} {{$kind}} ({{$n}}){{end}}</p>
<table>{{range .Violations}}<tr><td>{{.Kind}}</td><td>{{.User}}</td><td>{{.Device}}</td><td>{{.ID}}</td><td>{{.Detail}}</td></tr>{{end}}</table>
{{else if not .Failed}}<p class="good">Every check passed.</p>{{end}}
<table>{{range .Rows}}<tr><td>{{.Name}}</td><td class="n">{{.Shown}}</td><td class="{{if .Met}}good{{else}}bad{{end}}">{{.Verdict}}</td></tr>{{end}}</table>
{{if .Steps}}<table><tr><th>messages/s</th><th>p50</th><th>p99</th><th></th></tr>{{range .Steps}}<tr><td class="n">{{printf "%.0f" .Rate}}</td><td>{{.P50}}</td><td>{{.P99}}</td><td>{{if .Passed}}passed{{else}}failed{{end}}</td></tr>{{end}}</table>{{end}}
{{range .Drifts}}<p class="{{if .Grows}}bad{{else}}good{{end}}">Drift of {{.}}</p>{{end}}
{{if gt .Others 15.0}}<p>Note: other processes took {{printf "%.0f" .Others}} % of a processor meanwhile: CPU times and latencies are worse than they should be.</p>{{end}}
{{if gt .Stolen 1.0}}<p>Note: the machine’s host kept {{printf "%.1f" .Stolen}} % of a processor from it (steal): latencies are worse than they should be.</p>{{end}}
{{range .Notes}}<p>Note: {{.}}</p>{{end}}
<div class="plots">
{{with .LatencyPlot}}<figure><figcaption>Latency, from when a message was due</figcaption>{{.}}</figure>{{end}}
{{with .Histogram}}<figure><figcaption>How latencies are spread</figcaption>{{.}}</figure>{{end}}
{{with .RatePlot}}<figure><figcaption>Pushes</figcaption>{{.}}</figure>{{end}}
{{with .CPUPlot}}<figure><figcaption>The server's CPU time</figcaption>{{.}}</figure>{{end}}
{{with .MemoryPlot}}<figure><figcaption>The server's memory</figcaption>{{.}}</figure>{{end}}
{{with .FilesPlot}}<figure><figcaption>The server's descriptors</figcaption>{{.}}</figure>{{end}}
</div>
{{end}}
</body></html>
`))
