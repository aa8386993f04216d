-- Has a mailbox be what was made elsewhere. KEYS: claim, mailbox, index of expiries, index of when devices were seen, the place where it was made. ARGV: token,
-- the last position that the caller has found, the last position then, TTL in ms, user, the earliest expiry and the earliest time that a device was
-- seen (each empty: there is none), the number of the making, 1 where there is more than that at the place.
-- Answers 1; or {'claim', the claim that there is}, {'last', the last position that there is}, {'made'} where what was made is gone: where this is
-- late, the mailbox was written to since.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
local last = redis.call('HGET', KEYS[2], 'l') or ''
if last ~= ARGV[2] then
  if last ~= ARGV[3] then return {'last', last} end
  -- It was done before: who waits for replicas waits for a write of this connection.
  redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[2]), tonumber(ARGV[4])))
  return 1
end
if redis.call('HGET', KEYS[5], 'n') ~= ARGV[8] then return {'made'} end
if ARGV[9] ~= '1' then
  redis.call('DEL', KEYS[2], KEYS[5])
  return 1
end
redis.call('HDEL', KEYS[5], 'n')
redis.call('RENAME', KEYS[5], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
for i = 6, 7 do
  if ARGV[i] ~= '' and redis.pcall('ZADD', KEYS[i - 3], 'LT', ARGV[i], ARGV[5]) == 1 then redis.pcall('PEXPIRE', KEYS[i - 3], math.max(3456000000, tonumber(ARGV[4]))) end
end
return 1
