-- Gives the store another identity. KEYS: identity. ARGV: the one that is replaced, the new one, TTL in ms.
-- Answers 1; or 0 where a third one is there, with which nothing was done.
local v = redis.call('GET', KEYS[1])
if v and v ~= ARGV[1] and v ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
