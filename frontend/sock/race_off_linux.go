//go:build !race

package sock

func raceWrite([]byte) {}

func raceRead(int, []byte, int) {}
