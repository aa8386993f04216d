package report

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Drift is how something that should stay the same has changed over a long run.
type Drift struct {
	Name  string        `json:"name"`
	Unit  string        `json:"unit"`
	Over  time.Duration `json:"over"`  // how long it was watched
	Level float64       `json:"level"` // the median
	Slope float64       `json:"slope"` // an hour
	Noise float64       `json:"noise"` // of one moment around the slope: a typical deviation
	Grows bool          `json:"grows"` // the verdict
}

// Moment is one value of what is watched.
type Moment struct {
	At    time.Time
	Value float64
}

const (
	mostMoments = 300  // of which slopes are taken, each to each
	leastGrowth = 0.03 // of the level: what is less is no growth, however even it is
	noises      = 3    // so many typical deviations must a growth be
)

// NewDrift judges a series: its slope is the median of those between any two moments (Theil and Sen), which single outliers
// do not move; it grows where the slope made more of the time that was watched than noise makes, in the halves' medians too.
// least is the growth that is worth a word, in the series' unit. False: there are too few moments.
func NewDrift(name, unit string, least float64, all []Moment) (Drift, bool) {
	if len(all) < 8 {
		return Drift{}, false
	}
	step := (len(all) + mostMoments - 1) / mostMoments
	var series []Moment
	for i := 0; i < len(all); i += step {
		series = append(series, all[i])
	}
	d := Drift{Name: name, Unit: unit, Over: all[len(all)-1].At.Sub(all[0].At)}
	if d.Over <= 0 {
		return Drift{}, false
	}
	var slopes, values, deviations []float64
	for i, a := range series {
		values = append(values, a.Value)
		for _, b := range series[i+1:] {
			if span := b.At.Sub(a.At).Hours(); span > 0 {
				slopes = append(slopes, (b.Value-a.Value)/span)
			}
		}
	}
	half := len(values) / 2
	rise := median(values[half:]) - median(values[:half])
	d.Slope, d.Level = median(slopes), median(values)
	for _, m := range series {
		deviations = append(deviations, math.Abs(m.Value-d.Level-d.Slope*(m.At.Sub(all[0].At)-d.Over/2).Hours()))
	}
	d.Noise = 1.48 * median(deviations) // of a normal distribution: the standard deviation
	worth := max(least, leastGrowth*d.Level, noises*d.Noise)
	d.Grows = d.Slope*d.Over.Hours() > worth && rise > worth/3
	return d, true
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// String is the drift in a line.
func (d Drift) String() string {
	verdict := "steady"
	if d.Grows {
		verdict = "GROWS"
	}
	return fmt.Sprintf("%s: %s: %+.2f %s in %v, which is %+.1f an hour, at a level of %s (noise %s)",
		d.Name, verdict, d.Slope*d.Over.Hours(), d.Unit, d.Over.Round(time.Second), d.Slope, Number(d.Level), Number(d.Noise))
}
