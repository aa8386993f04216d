package etcd

import "testing"

// TestAnswersOfAnotherEtcdDoNotFollow: one that was made anew, and one that was restored from a backup, whose term begins anew.
func TestAnswersOfAnotherEtcdDoNotFollow(t *testing.T) {
	for _, c := range []struct {
		last, now header
		want      bool
	}{
		{header{}, header{7, 1}, true}, // the first
		{header{7, 3}, header{7, 3}, true},
		{header{7, 3}, header{7, 4}, true}, // another leader
		{header{7, 3}, header{7, 2}, false},
		{header{7, 3}, header{8, 9}, false},
	} {
		if got := c.now.follows(c.last); got != c.want {
			t.Errorf("%+v after %+v: %v", c.now, c.last, got)
		}
	}
}
