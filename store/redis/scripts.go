package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	goredis "github.com/redis/go-redis/v9"
)

// script is one that runs on the server: whole, or not at all.
type script struct {
	name, text string
	sha        []byte // by which it is called
}

func newScript(name, text string) *script {
	sum := sha1.Sum([]byte(text)) // as Redis names scripts
	return &script{name: name, text: text, sha: hex.AppendEncode(nil, sum[:])}
}

var (
	//go:embed scripts/claim.lua
	claimText string
	//go:embed scripts/append.lua
	appendText string
	//go:embed scripts/save.lua
	saveText string
	//go:embed scripts/forget.lua
	forgetText string
	//go:embed scripts/stage.lua
	stageText string
	//go:embed scripts/replace.lua
	replaceText string
	//go:embed scripts/expired.lua
	expiredText string
	//go:embed scripts/identity.lua
	identityText string

	claimScript    = newScript("claim", claimText)
	appendScript   = newScript("append", appendText)
	saveScript     = newScript("save", saveText)
	forgetScript   = newScript("forget", forgetText)
	stageScript    = newScript("stage", stageText)
	replaceScript  = newScript("replace", replaceText)
	expiredScript  = newScript("expired", expiredText)
	identityScript = newScript("identity", identityText)

	allScripts = []*script{claimScript, appendScript, saveScript, forgetScript, stageScript, replaceScript, expiredScript, identityScript}
)

// loadScripts has the server know the scripts. A connection does not outlive the server that it loaded into, so that who connects loads,
// and no call has to fall back on sending a text.
func loadScripts(ctx context.Context, c *goredis.Conn) error {
	_, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, s := range allScripts {
			p.ScriptLoad(ctx, s.text)
		}
		return nil
	})
	return err
}
