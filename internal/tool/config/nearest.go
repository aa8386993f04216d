package config

import "strings"

// nearest is the name with the smallest edit distance to s, if it is near enough (a letter in three) to be what was meant.
func nearest(s string, names []string) (string, bool) {
	best, at := "", (len(s)+2)/3+1
	for _, n := range names {
		if d := distance(strings.ToLower(s), strings.ToLower(n), at); d < at {
			best, at = n, d
		}
	}
	return best, best != ""
}

// distance is how many letters must be put in, taken out, replaced or swapped with the next to make b of a (optimal
// string alignment); limit or more where it is not below limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
