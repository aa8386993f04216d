package cassandratest

import (
	"maps"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// configText is a cassandra.yaml for the node at host, with its data in dir.
func configText(dir, host string, settings map[string]any) ([]byte, error) {
	data := func(name string) string { return filepath.Join(dir, "data", name) }
	config := map[string]any{
		"cluster_name":           "cassandratest",
		"partitioner":            "org.apache.cassandra.dht.Murmur3Partitioner",
		"endpoint_snitch":        "SimpleSnitch",
		"listen_address":         host,
		"rpc_address":            host,
		"storage_port":           storagePort,
		"native_transport_port":  nativePort,
		"data_file_directories":  []string{data("data")},
		"commitlog_directory":    data("commitlog"),
		"hints_directory":        data("hints"),
		"saved_caches_directory": data("saved_caches"),
		"cdc_raw_directory":      data("cdc_raw"),
		"commitlog_sync":         "periodic",
		"commitlog_sync_period":  "1000ms",
		"auto_snapshot":          false, // of what is dropped
		"auto_bootstrap":         false, // a new cluster has nothing to be copied
		"incremental_backups":    false,
	}
	maps.Copy(config, settings)
	for key, value := range config {
		if value == nil {
			delete(config, key)
		}
	}
	return yaml.Marshal(config)
}
