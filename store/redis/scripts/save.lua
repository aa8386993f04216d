-- Saves devices of one mailbox. KEYS: claim, mailbox, index of when devices were seen, the place where a mailbox is made to replace this one,
-- the devices that were removed not long ago. ARGV: token, TTL in ms, user, ms at which the
-- earliest was seen (empty: the mailbox is a copy, and gets none where it is not there), order (16 bytes), then for each device its field and its value (empty: it goes).
-- A device that was written in a later order stays. Answers 1, or {'claim', the claim that there is}.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
if ARGV[4] == '' and redis.call('HEXISTS', KEYS[2], 'l') == 0 then return 1 end
local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', ARGV[5])
local function before(order) -- this write was called before that of order
  local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', order)
  if a1 ~= b1 then return a1 < b1 end
  if a2 ~= b2 then return a2 < b2 end
  if a3 ~= b3 then return a3 < b3 end
  return a4 < b4
end
local saved = false
for i = 6, #ARGV, 2 do
  local old, late = redis.call('HGET', KEYS[2], ARGV[i]) or redis.call('HGET', KEYS[5], ARGV[i]), false
  if old then
    late = before(old)
  end
  if late then
  elseif ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('HSET', KEYS[5], ARGV[i], ARGV[5])
    redis.call('PEXPIRE', KEYS[5], 3600000) -- no write is as late as that
  else
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[5] .. ARGV[i + 1])
    saved = true
  end
end
local ttl = tonumber(ARGV[2])
if saved then
  if redis.call('PTTL', KEYS[2]) < ttl then redis.call('PEXPIRE', KEYS[2], ttl + 30000) end
  if ARGV[4] ~= '' and redis.pcall('ZADD', KEYS[3], 'LT', ARGV[4], ARGV[3]) == 1 then redis.pcall('PEXPIRE', KEYS[3], math.max(3456000000, ttl)) end
else -- it may have been done before: who waits for replicas waits for a write of this connection
  redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[2]), ttl))
end
redis.call('DEL', KEYS[4]) -- it has the records of before
return 1
