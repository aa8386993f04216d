-- Writes a part of what is to become a mailbox. KEYS: claim, the place where it is made. ARGV: token, TTL in ms, then fields and values.
-- Answers 1, or {'claim', the claim that there is}.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
for i = 3, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
