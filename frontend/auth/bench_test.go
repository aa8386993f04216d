package auth

import "testing"

func BenchmarkVerify(b *testing.B) {
	for _, bench := range []struct {
		name, alg string
		cache     int
	}{
		{"HS256", "HS256", 0}, {"RS256", "RS256", 0}, {"ES256", "ES256", 0}, {"ES256/cached", "ES256", 1000}, {"EdDSA", "EdDSA", 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			k := keyFor(b, bench.alg)
			cfg := k.config(b)
			cfg.Cache = bench.cache
			tokens := open(b, cfg)
			token := mint(b, k.signing, grant())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tokens.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKeysCheck(b *testing.B) {
	keys, key := oneKey(b, ScopePublish)
	header := "Bearer " + key
	b.ReportAllocs()
	for b.Loop() {
		if err := keys.Check(header, ScopePublish); err != nil {
			b.Fatal(err)
		}
	}
}

func TestRememberedTokenCostsNoAllocation(t *testing.T) {
	k := keyFor(t, "ES256")
	tokens := open(t, k.config(t))
	token := mint(t, k.signing, grant())
	if n := testing.AllocsPerRun(100, func() { tokens.Verify(token) }); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}
