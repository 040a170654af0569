-- A worker's word about jobs that it holds: ARGV = answer | renew | release | sweep, worker, …
-- answer: job, token, seq, packets so far, whether it is the last, message.  release: job, token.
-- sweep: forget workers that hold nothing and were silent for so many milliseconds.
-- renew: job and token of each; returns 0 for each that the worker has lost, else 1.

local what, worker = ARGV[1], ARGV[2]

local function mine(job, token)
  local record = held(job, worker, token)
  if record and not alive(record.gateway) then
    forget(job, record)
    return nil
  end
  return record
end

if what == 'renew' then
  local kept = {}
  for at = 3, #ARGV, 2 do
    local record = mine(ARGV[at], ARGV[at + 1])
    if record then redis.call('XCLAIM', queue(record.rung), GROUP, worker, 0, record.entry, 'JUSTID') end
    kept[#kept + 1] = record and 1 or 0
  end
  for _, rung in ipairs(RUNGS) do keep(rung) end
  return kept
end

if what == 'sweep' then
  for _, rung in ipairs(RUNGS) do
    local found = redis.pcall('XINFO', 'CONSUMERS', queue(rung), GROUP)
    for _, consumer in ipairs(found.err and {} or found) do
      if consumer[4] == 0 and consumer[6] >= tonumber(ARGV[3]) then
        redis.call('XGROUP', 'DELCONSUMER', queue(rung), GROUP, consumer[2])
      end
    end
  end
  return 1
end

local job, token = ARGV[3], ARGV[4]
local record = mine(job, token)
if not record then return 0 end

if what == 'release' then
  -- whoever looks for leases that ended finds it at once, and this attempt was not its fault
  redis.call('XCLAIM', queue(record.rung), GROUP, worker, 0, record.entry, 'IDLE', 86400000, 'JUSTID')
  record.worker, record.token, record.tries = '', record.token + 1, record.tries - 1
  save(job, record)
  return 1
end

answer(record.gateway, job, record.token, ARGV[5], ARGV[8])
if ARGV[7] == '1' then
  forget(job, record)
elseif tonumber(ARGV[6]) > record.best then
  record.best, record.tries = tonumber(ARGV[6]), 1  -- what died before is forgiven, and this is an attempt, too
  save(job, record)
end
return 1
