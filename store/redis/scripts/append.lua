-- One step of one mailbox. KEYS: claim, mailbox, index of expiries, and, of a step that only kills, the place where a mailbox is made to replace this one. ARGV: token, last position (empty: any), TTL in ms, ms before which
-- ids are forgotten, number of entries, last position of the step, user, the earliest expiry (empty: there is no index; <N, of a cache: the mailbox goes where it
-- has more than about N bytes), then for each entry its field, value
-- and id, then the fields that are killed.
-- Answers 1; or {'claim', the claim that there is}, {'last', the last position that there is}, with which nothing was done.
local claim = redis.call('GET', KEYS[1])
if not claim or string.sub(claim, 1, 20) ~= ARGV[1] then return {'claim', claim or ''} end
local box, head = KEYS[2], 8 -- head: arguments before the entries
local m = redis.call('HMGET', box, 'l', 'h', 't')
local last, n, first = m[1] or '', tonumber(ARGV[5]), 1

if last ~= ARGV[2] then
  first = 0
  if ARGV[2] == '' then -- what is not behind the mark was written before
    local function after(a, b) -- strings are compared by the locale, which is not byte by byte
      if b == '' then return true end
      local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a)
      local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b)
      if a1 ~= b1 then return a1 > b1 end
      if a2 ~= b2 then return a2 > b2 end
      if a3 ~= b3 then return a3 > b3 end
      return a4 > b4
    end
    first = n + 1
    while first > 1 and after(string.sub(ARGV[head + 3 * first - 5], 3), last) do first = first - 1 end
  else -- a step that was written before, alone or as the first part of this one
    for i = 1, n do
      if string.sub(ARGV[head + 3 * i - 2], 3) == last then first = i + 1 end
    end
    if first == 0 then return {'last', last} end
  end
end

if first > 1 then -- what was written before is accepted now: its ids, the last that there are, are remembered from then on
  local t = tonumber(m[3] or 0)
  for i = 1, first - 1 do
    local id = ARGV[head + 3 * i]
    local at = 'i' .. (t - first + i)
    local v = redis.call('HGET', box, at)
    if v and v ~= id and string.sub(v, 9) == string.sub(id, 9) then redis.call('HSET', box, at, id) end
  end
end
if first <= n then
  local h, t = tonumber(m[2] or 0), tonumber(m[3] or 0)
  local set = {'l', ARGV[6], 't', t + n - first + 1} -- the first write: it is refused where memory is short
  for i = first, n do
    local at = head + 3 * i - 2
    local k = #set
    set[k + 1], set[k + 2], set[k + 3], set[k + 4] = ARGV[at], ARGV[at + 1], 'i' .. t, ARGV[at + 2]
    t = t + 1
    if k >= 1000 then
      redis.call('HSET', box, unpack(set))
      set = {}
    end
  end
  if #set > 0 then redis.call('HSET', box, unpack(set)) end
  local was = t - (n - first + 1)
  if math.floor(was / 8) ~= math.floor(t / 8) then -- now and then ids that are old go, more than come
    local before, from = tonumber(ARGV[4]), h
    local to = math.min(t, h + 16 + 2 * (t - was))
    while h < to do
      local v = redis.call('HGET', box, 'i' .. h)
      if v then
        local a, b = struct.unpack('>I4I4', v)
        if a * 4294967296 + b >= before then break end
        redis.call('HDEL', box, 'i' .. h)
      end
      h = h + 1
    end
    if h > from then redis.call('HSET', box, 'h', h) end
  end
  local ttl = tonumber(ARGV[3])
  if redis.call('PTTL', box) < ttl then redis.call('PEXPIRE', box, ttl + 30000) end
  local most = tonumber(string.match(ARGV[8], '^<(%d+)$'))
  if most then
    local some = redis.pcall('HRANDFIELD', box, 32) -- all, where there are no more
    local bytes = 0
    for _, field in ipairs(some) do
      local size = redis.pcall('HSTRLEN', box, field)
      bytes = bytes + #field + (tonumber(size) or 0)
    end
    if not some.err and #some > 0 and bytes / #some * redis.call('HLEN', box) > most then
      redis.call('UNLINK', box)
      return {'last', ''}
    end
  elseif ARGV[8] ~= '' and redis.pcall('ZADD', KEYS[3], 'LT', ARGV[8], ARGV[7]) == 1 then redis.pcall('PEXPIRE', KEYS[3], 3456000000) end
end
local kills = head + 3 * n + 1
for i = kills, #ARGV, 1000 do
  redis.call('HDEL', box, unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if KEYS[4] then redis.call('DEL', KEYS[4]) end -- it has what was killed, and the last position does not tell
-- Where it was done before, who waits for replicas waits for what this connection has written: so it writes something that they get.
if first > n and #ARGV > head then redis.call('PEXPIRE', box, math.max(redis.call('PTTL', box), tonumber(ARGV[3]))) end
return 1
