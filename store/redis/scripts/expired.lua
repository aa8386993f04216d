-- Says whether time has ended something in a mailbox, and corrects the indexes. KEYS: claim, mailbox, index of expiries, index of when devices were
-- seen. ARGV: token, user, ms before which an entry has expired, ms before which a device is unseen.
-- Answers 1 or 0, or {'claim', the claim that there is}.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
local all, expires, seen = redis.call('HGETALL', KEYS[2]), nil, nil
local function ms(v, at)
  local a, b = struct.unpack('>i4I4', v, at)
  return a * 4294967296 + b
end
for i = 1, #all, 2 do
  local f = string.sub(all[i], 1, 1)
  if #all[i] == 1 then
  elseif f == 'm' then
    local t = ms(all[i + 1], 2)
    if not expires or t < expires then expires = t end
  elseif f == 'd' then
    local t = ms(all[i + 1], 18)
    if not seen or t < seen then seen = t end
  end
end
local function index(key, at)
  if at then
    redis.pcall('ZADD', key, 'XX', string.format('%.0f', at), ARGV[2])
  else
    redis.call('ZREM', key, ARGV[2])
  end
end
index(KEYS[3], expires)
index(KEYS[4], seen)
if expires and expires < tonumber(ARGV[3]) or seen and seen < tonumber(ARGV[4]) then return 1 end
return 0
