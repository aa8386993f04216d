package stats

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// mostMetrics bounds what is read of a /metrics, in bytes.
const mostMetrics = 4 << 20

// Scrape reads what a Go server with Prometheus' own collectors says of itself at url.
func Scrape(ctx context.Context, client *http.Client, url string) (Usage, error) {
	u := Usage{At: time.Now()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return u, fmt.Errorf("stats: scrape %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return u, fmt.Errorf("stats: scrape: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return u, fmt.Errorf("stats: scrape %s: %s", url, resp.Status)
	}
	u.read(io.LimitReader(resp.Body, mostMetrics))
	return u, nil
}

func (u *Usage) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "process_cpu_seconds_total":
			u.CPU = time.Duration(v * float64(time.Second))
		case "process_resident_memory_bytes":
			u.RSS = int64(v)
		case "process_open_fds":
			u.Files = int(v)
		case "ramen_store_commit_seconds_count":
			u.Commits = int64(v)
		case "go_threads":
			u.Threads = int(v)
		case "go_goroutines":
			u.Goroutines = int(v)
		case "go_memstats_heap_inuse_bytes":
			u.Heap = int64(v)
		}
	}
}
