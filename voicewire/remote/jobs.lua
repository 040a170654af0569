-- What the scripts of the queue share. KEYS[1]: the jobs of a model; its other keys are made from it, in the same slot.
-- A job's record: rung and entry (where it stands), due (in ms of Redis' clock; '' never), gateway, worker ('' waits),
-- token (fences every attempt but the last), tries (attempts since any brought something new, and that one) and best
-- (packets that were brought).

local GROUP = 'workers'
local RUNGS = {'due', 'live', 'interactive', 'prefetch', 'batch'}
local TTL_MS = 120000
local ANSWERS_MAX = 4096
local ORDERS_MAX = 1024
local jobs = KEYS[1]
local base = string.sub(jobs, 1, -5)

local function now_ms()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local function queue(rung)
  return base .. 'queue:' .. rung
end

local function load(job)
  local packed = redis.call('HGET', jobs, job)
  return packed and cjson.decode(packed)
end

local function save(job, record)
  redis.call('HSET', jobs, job, cjson.encode(record))
end

local function unqueue(rung, entry)
  redis.call('XACK', queue(rung), GROUP, entry)
  redis.call('XDEL', queue(rung), entry)
end

local function forget(job, record)
  unqueue(record.rung, record.entry)
  redis.call('HDEL', jobs, job)
end

local function held(job, worker, token)
  local record = load(job)
  return record and record.worker == worker and record.token == tonumber(token) and record or nil
end

local function alive(gateway)
  return redis.call('EXISTS', base .. 'alive:' .. gateway) == 1
end

local function keep(rung)
  redis.call('PEXPIRE', queue(rung), TTL_MS)
  redis.call('PEXPIRE', jobs, TTL_MS)
end

local function add(job, record, body)
  record.entry = redis.call('XADD', queue(record.rung), '*', 'job', job, 'body', body)
  save(job, record)
  keep(record.rung)
end

local function answer(gateway, job, token, seq, message)
  local key = base .. 'answers:' .. gateway
  redis.call('XADD', key, 'MAXLEN', '~', ANSWERS_MAX, '*', 'j', job, 't', token, 's', seq, 'm', message)
  redis.call('PEXPIRE', key, TTL_MS)
end

local function order(worker, kind, job, token, value)
  local key = base .. 'orders:' .. worker
  redis.call('XADD', key, 'MAXLEN', '~', ORDERS_MAX, '*', 'k', kind, 'j', job, 't', token, 'v', value)
  redis.call('PEXPIRE', key, TTL_MS)
end
