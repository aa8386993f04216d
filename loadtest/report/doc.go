// Package report is what a load test has found: a table for a terminal, JSON for a program, a page with plots for a reader.
//
//  1. A figure is a number with its unit; where the project has a budget for it, that stands beside it.
//  2. The page is one file: its plots are SVG within, and it loads nothing.
//
// No goroutines.
package report
