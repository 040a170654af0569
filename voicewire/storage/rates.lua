-- Requests by the generic cell rate algorithm, streams at once by lease: all of it is granted, or nothing is taken.
--
-- KEYS  the buckets, then the sets of leases
-- ARGV  how many buckets; for each: microseconds from one request to the next, how many may come at once;
--       then, where there are sets: how long a lease lasts in ms, its name, the name that it replaces ('': none),
--       and for each set how many leases it may hold
-- →     which key refused (0: none), milliseconds until it may be tried again, and for each bucket
--       how many more may come now and the milliseconds until it is full

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local buckets = tonumber(ARGV[1])
local at = 2
local refused, wait = 0, 0
local arrivals, answer = {}, {}

for i = 1, buckets do
  local step, burst = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  local most = now + step * burst
  -- a clock that was set back must not lock anybody out for longer than a full bucket takes
  local before = math.min(math.max(tonumber(redis.call('GET', KEYS[i])) or 0, now), most)
  local after = before + step
  if after > most then
    if after - most > wait then refused, wait = i, after - most end
    after = before
  end
  arrivals[i] = after
  answer[2 * i - 1] = math.floor((most - after) / step)
  answer[2 * i] = math.ceil((after - now) / 1000)
end

local ttl, name, replaced = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
at = at + 3
local ms = math.floor(now / 1000)
for i = buckets + 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', ms)
  if replaced ~= '' then redis.call('ZREM', KEYS[i], replaced) end
  local held = redis.call('ZSCORE', KEYS[i], name)
  if not held and redis.call('ZCARD', KEYS[i]) >= tonumber(ARGV[at]) and refused == 0 then refused = i end
  at = at + 1
end

if refused == 0 then
  for i = 1, buckets do
    redis.call('SET', KEYS[i], string.format('%.0f', arrivals[i]), 'PX', math.ceil((arrivals[i] - now) / 1000))
  end
  for i = buckets + 1, #KEYS do
    redis.call('ZADD', KEYS[i], ms + ttl, name)
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end

return {refused, math.ceil(wait / 1000), unpack(answer)}
