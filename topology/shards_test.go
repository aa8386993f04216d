package topology

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"ramen/protocol"
)

// TestShardsOfUsersAreFixed: a user whom this release looks for in another shard than the last is a user whose messages are
// lost. The table is never to be made anew.
func TestShardsOfUsersAreFixed(t *testing.T) {
	f, err := os.Open("testdata/shards.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan()
	head := strings.Split(lines.Text(), "\t")
	users := 0
	for ; lines.Scan(); users++ {
		row := strings.Split(lines.Text(), "\t")
		user, err := strconv.Unquote(row[0])
		if err != nil || len(row) != len(head) {
			t.Fatalf("row %q: %v", lines.Text(), err)
		}
		for i, cell := range row[1:] {
			n, _ := strconv.Atoi(head[i+1])
			want, err := strconv.ParseUint(cell, 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			if got := ShardOf(protocol.UserID(user), n); got != protocol.ShardID(want) {
				t.Errorf("user %s is in shard %d of %d; it was in %d", row[0], got, n, want)
			}
		}
	}
	if err := lines.Err(); err != nil || users < 40 {
		t.Errorf("%d users in the table: %v", users, err)
	}
}

// TestHashIsXXH64: the values of the algorithm's own reference implementation, seed 0.
func TestHashIsXXH64(t *testing.T) {
	for text, want := range map[string]uint64{
		"":     0xef46db3751d8e999,
		"a":    0xd24ec4f1a98c6e5b,
		"as":   0x1c330fb2d66be179,
		"asd":  0x631c37ce72a97393,
		"asdf": 0x415872f599cea71e,
		"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02a2e85470d6fd96,
	} {
		if got := xxhash.Sum64String(text); got != want {
			t.Errorf("hash of %q is %#x; want %#x", text, got, want)
		}
	}
}

// TestShardsAreEven: no shard of a cluster has far more users than another.
func TestShardsAreEven(t *testing.T) {
	const users, shards = 200_000, 1024
	var in [shards]int
	for i := range users {
		in[ShardOf(protocol.UserID("user-"+strconv.Itoa(i)), shards)]++
	}
	for id, n := range in {
		if mean := users / shards; n < mean*6/10 || n > mean*14/10 {
			t.Errorf("shard %d has %d users of %d; the mean is %d", id, n, users, mean)
		}
	}
}
