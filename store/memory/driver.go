package memory

import (
	"context"
	"errors"

	"ramen/store"
	"ramen/store/driver"
)

// Driver opens memory: URLs: an empty store each time.
func Driver() driver.Driver {
	check := func(p driver.Params) error {
		if p.URL.String() != "memory:" || p.Password != "" {
			return errors.New("store/memory: the store in memory has no place and no settings: write memory: alone")
		}
		return nil
	}
	return driver.Driver{
		Schemes: []string{"memory"},
		Open: func(_ context.Context, p driver.Params) (store.Store, error) {
			if err := check(p); err != nil {
				return nil, err
			}
			return NewDisk(Config{IDRetention: p.IDRetention}).Open(), nil
		},
		Check: func(_ context.Context, p driver.Params) (driver.Report, error) {
			return driver.Report{
				Servers:    []driver.Server{{Address: "this process", Version: "memory"}},
				Durability: "An accepted message is lost when the process ends.",
			}, check(p)
		},
		Volatile: true,
	}
}
