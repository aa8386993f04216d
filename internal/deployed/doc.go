// Package deployed has the tests of what deploy/ hands out for a whole cluster: compose.yaml, Prometheus' rules and Grafana's dashboard. No
// container is started: that the configurations are accepted, that all parts of compose.yaml fit together, and that each metric that is
// named somewhere is told by a real server.
package deployed
