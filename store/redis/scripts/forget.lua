-- Drops fields of one mailbox. KEYS: claim, mailbox, the place where one is made to replace it. ARGV: token, the fields.
-- Answers 1, or {'claim', the claim that there is}.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
for i = 2, #ARGV, 1000 do
  redis.call('HDEL', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('DEL', KEYS[3]) -- it has what was dropped
return 1
