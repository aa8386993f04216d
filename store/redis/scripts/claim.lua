-- Takes a shard. KEYS: claim, copy. ARGV: epoch (8 bytes), nonce (8), the number that the caller has written last (0: none), owner, TTL in ms.
-- Answers the number that is written now; or the claim of another one, with which nothing was done.
local v = redis.call('GET', KEYS[1])
local n = tonumber(ARGV[3])
local there = false
if v then
  local e1, e2 = struct.unpack('>I4I4', v)
  local m1, m2 = struct.unpack('>I4I4', ARGV[1])
  if e1 > m1 or e1 == m1 and e2 > m2 then return v end
  if e1 == m1 and e2 == m2 then
    if string.sub(v, 21) ~= ARGV[4] then return v end
    if string.sub(v, 9, 16) == ARGV[2] then
      local k = struct.unpack('>I4', v, 17)
      if k >= n then there, n = true, k end
    end
  end
end
if not there then n = n + 1 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2] .. struct.pack('>I4', n) .. ARGV[4], 'PX', ARGV[5])
-- Which copy of the data has taken the claim, as info.history has it; empty where INFO is forbidden.
local info, copy = redis.pcall('INFO', 'server', 'replication'), ''
if type(info) == 'string' then
  local id, run = string.match(info, 'master_replid:(%x+)'), string.match(info, 'run_id:(%x+)')
  if id and run then copy = string.sub(id, 1, 16) .. '/' .. string.sub(run, 1, 16) end
end
redis.call('SET', KEYS[2], copy, 'PX', ARGV[5])
return n
