// Package proxied holds the tests of RAMEN behind real proxies: the files that deploy/ hands out for nginx, HAProxy and Caddy, and
// clients/web/page.html in a real browser behind them. It has no code of its own. What is not installed is skipped.
package proxied
