//go:build !race

package sock

const announced = false
