package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"ramen/loadtest/stats"
)

// A plot's size, in the units of its SVG, and the room for its axes.
const (
	plotWide = 640
	plotHigh = 220
	plotLeft = 64
	plotFoot = 28
)

// line is one curve of a plot.
type line struct {
	name, colour string
	y            []float64
}

// plot is curves over the same places.
type plot struct {
	x     []float64
	xName string // with its unit
	yName string
	log   bool // y, from the smallest value over 0
	lines []line
}

// svg draws p; nothing where there is nothing to draw.
func (p *plot) svg() template.HTML {
	if len(p.x) < 2 {
		return ""
	}
	low, high := p.bounds()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, plotWide, plotHigh)
	p.axes(&b, low, high)
	for i, l := range p.lines {
		var at []string
		for j, y := range l.y {
			at = append(at, fmt.Sprintf("%.1f,%.1f", p.across(p.x[j]), p.up(y, low, high)))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`, l.colour, strings.Join(at, " "))
		fmt.Fprintf(&b, `<text x="%d" y="12" fill="%s">%s</text>`, plotLeft+8+i*90, l.colour, template.HTMLEscapeString(l.name))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) // every text in it is escaped
}

// bounds are the least and the most of y.
func (p *plot) bounds() (low, high float64) {
	low = math.Inf(1)
	for _, l := range p.lines {
		for _, y := range l.y {
			high = max(high, y)
			if y > 0 {
				low = min(low, y)
			}
		}
	}
	if !p.log || math.IsInf(low, 1) {
		low = 0
	}
	if high <= low {
		high = low + 1
	}
	return low, high
}

func (p *plot) across(x float64) float64 {
	first, last := p.x[0], p.x[len(p.x)-1]
	return plotLeft + (x-first)/max(last-first, 1e-9)*(plotWide-plotLeft-8)
}

func (p *plot) up(y, low, high float64) float64 {
	part := (y - low) / (high - low)
	if p.log && low > 0 {
		part = math.Log(max(y, low)/low) / math.Log(high/low)
	}
	return plotHigh - plotFoot - part*(plotHigh-plotFoot-18)
}

func (p *plot) axes(b *strings.Builder, low, high float64) {
	const marks = 4
	for i := range marks + 1 {
		part := float64(i) / marks
		y := low + part*(high-low)
		if p.log && low > 0 {
			y = low * math.Pow(high/low, part)
		}
		at := p.up(y, low, high)
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" class="g"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, plotWide-8, at, at, plotLeft-5, at+4, Number(y))
		x := p.x[0] + part*(p.x[len(p.x)-1]-p.x[0])
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, p.across(x), plotHigh-12, Number(x))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, (plotLeft+plotWide)/2, plotHigh-1, p.xName)
	fmt.Fprintf(b, `<text x="12" y="%d" transform="rotate(-90 12 %d)" text-anchor="middle">%s</text>`, plotHigh/2, plotHigh/2, p.yName)
}

// LatencyPlot is latencies over time.
func (s *Section) LatencyPlot() template.HTML {
	p := plot{xName: "seconds", yName: "ms", log: true, lines: []line{{"p50", "#2a7", nil}, {"p99", "#d80", nil}, {"max", "#c33", nil}}}
	for _, w := range s.Latency {
		p.x = append(p.x, w.Start.Seconds())
		for i, d := range []time.Duration{w.P50, w.P99, w.Max} {
			p.lines[i].y = append(p.lines[i].y, ms(d))
		}
	}
	return p.svg()
}

// RatePlot is pushes over time.
func (s *Section) RatePlot() template.HTML {
	p := plot{xName: "seconds", yName: "pushes/s", lines: []line{{"pushes", "#27c", nil}}}
	for i, w := range s.Latency {
		p.x = append(p.x, w.Start.Seconds())
		width := time.Second
		if len(s.Latency) > 1 {
			width = s.Latency[min(i+1, len(s.Latency)-1)].Start - s.Latency[min(i, len(s.Latency)-2)].Start
		}
		p.lines[0].y = append(p.lines[0].y, float64(w.Count)/width.Seconds())
	}
	return p.svg()
}

// MemoryPlot is the server's memory over time.
func (s *Section) MemoryPlot() template.HTML {
	p := plot{xName: "seconds", yName: "MB", lines: []line{{"server's RSS", "#27c", nil}}}
	for _, u := range s.Server {
		p.x = append(p.x, u.At.Sub(s.Server[0].At).Seconds())
		p.lines[0].y = append(p.lines[0].y, float64(u.RSS)/1e6)
	}
	return p.svg()
}

// CPUPlot is the server's CPU time over time, percent of a processor.
func (s *Section) CPUPlot() template.HTML {
	p := plot{xName: "seconds", yName: "% of a processor", lines: []line{{"server's CPU", "#a3c", nil}}}
	for i := 1; i < len(s.Server); i++ {
		from, to := &s.Server[i-1], &s.Server[i]
		p.x = append(p.x, to.At.Sub(s.Server[0].At).Seconds())
		p.lines[0].y = append(p.lines[0].y, 100*float64(to.CPU-from.CPU)/float64(max(to.At.Sub(from.At), 1)))
	}
	return p.svg()
}

// FilesPlot is the server's descriptors over time.
func (s *Section) FilesPlot() template.HTML {
	p := plot{xName: "seconds", yName: "descriptors", lines: []line{{"open files", "#777", nil}}}
	for _, u := range s.Server {
		p.x = append(p.x, u.At.Sub(s.Server[0].At).Seconds())
		p.lines[0].y = append(p.lines[0].y, float64(u.Files))
	}
	return p.svg()
}

// Histogram is how latencies are spread.
func (s *Section) Histogram() template.HTML {
	if len(s.Bars) < 2 {
		return ""
	}
	most := int64(1)
	for _, bar := range s.Bars {
		most = max(most, bar.Count)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img">`, plotWide, plotHigh)
	wide := float64(plotWide-16) / float64(len(s.Bars))
	for i, bar := range s.Bars {
		high := float64(bar.Count) / float64(most) * (plotHigh - plotFoot - 18)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#27c"><title>%s: %d</title></rect>`,
			8+float64(i)*wide, plotHigh-plotFoot-high, max(wide-1, 0.5), high, between(bar), bar.Count)
		if i%max(1, len(s.Bars)/6) == 0 {
			fmt.Fprintf(&b, `<text x="%.1f" y="%d">%s</text>`, 8+float64(i)*wide, plotHigh-12, Number(float64(bar.From)/1000))
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">ms, from due to pushed, logarithmic</text></svg>`, plotWide/2, plotHigh-1)
	return template.HTML(b.String()) // it is numbers
}

func between(b stats.Bar) string {
	return fmt.Sprintf("%v to %v", time.Duration(b.From)*time.Microsecond, time.Duration(b.To)*time.Microsecond)
}
