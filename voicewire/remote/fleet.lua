-- Who lives: KEYS = seen, said; ARGV = beat, name, what it says | leave, name | read.
-- `read` returns name, milliseconds since it was seen and what it said, of each that lives.

local FRESH_MS, KEPT_MS = 3000, 60000
local seen, said = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

if ARGV[1] == 'beat' then
  redis.call('ZADD', seen, now, ARGV[2])
  redis.call('HSET', said, ARGV[2], ARGV[3])
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now - KEPT_MS)) do
    redis.call('ZREM', seen, name)
    redis.call('HDEL', said, name)
  end
  redis.call('PEXPIRE', seen, KEPT_MS)
  redis.call('PEXPIRE', said, KEPT_MS)
  return 1
elseif ARGV[1] == 'leave' then
  redis.call('HDEL', said, ARGV[2])
  return redis.call('ZREM', seen, ARGV[2])
end

local living = redis.call('ZRANGEBYSCORE', seen, now - FRESH_MS, '+inf', 'WITHSCORES')
local told = {}
for at = 1, #living, 2 do
  told[#told + 1] = {living[at], now - living[at + 1], redis.call('HGET', said, living[at])}
end
return told
