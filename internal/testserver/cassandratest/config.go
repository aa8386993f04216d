package cassandratest

import (
	"maps"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// configText is a cassandra.yaml for the node at host, with its data in dir.
func configText(dir, host string, settings map[string]any) ([]byte, error) {
	config := map[string]any{
		"cluster_name":          "cassandratest",
		"partitioner":           "org.apache.cassandra.dht.Murmur3Partitioner",
		"endpoint_snitch":       "SimpleSnitch",
		"listen_address":        host,
		"rpc_address":           host,
		"storage_port":          storagePort,
		"native_transport_port": nativePort,
		"commitlog_sync":        "periodic",
		"commitlog_sync_period": "1000ms",
		"auto_snapshot":         false, // of what is dropped
		"auto_bootstrap":        false, // a new cluster has nothing to be copied
		"incremental_backups":   false,
	}
	maps.Copy(config, dataSettings(filepath.Join(dir, "data")))
	maps.Copy(config, settings)
	for key, value := range config {
		if value == nil {
			delete(config, key)
		}
	}
	return yaml.Marshal(config)
}

// dataSettings name the folders in dir of all that a node keeps.
func dataSettings(dir string) map[string]any {
	in := func(name string) string { return filepath.Join(dir, name) }
	return map[string]any{
		"data_file_directories":  []string{in("data")},
		"commitlog_directory":    in("commitlog"),
		"hints_directory":        in("hints"),
		"saved_caches_directory": in("saved_caches"),
		"cdc_raw_directory":      in("cdc_raw"),
	}
}
