-- Writes a part of what is to become a mailbox. KEYS: claim, the place where it is made. ARGV: token, TTL in ms, the number of the making, 1 where
-- this is its first part, then fields and values.
-- Answers 1; or {'claim', the claim that there is}, {'made'} where what was made before is gone: another making has begun, or the mailbox was written to.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[2], 'n', ARGV[3]) -- the first write: it is refused where memory is short, which a DEL is not
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'n', ARGV[3])
elseif redis.call('HGET', KEYS[2], 'n') ~= ARGV[3] then
  return {'made'}
end
for i = 5, #ARGV, 1000 do
  redis.call('HSET', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
