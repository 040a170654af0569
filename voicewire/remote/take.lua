-- Blocks for a worker, those that are most wanted first, each with a token that fences whoever held it before.
-- ARGV: worker, lease_ms, tries_max, most of the rung `due`, most of all others, whether to look for leases that ended,
-- and then rung and entry of each that the worker has read already.
-- Returns {job, token, left_ms, body} of each.

local worker, lease_ms, tries_max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local room = {due = tonumber(ARGV[4]), others = tonumber(ARGV[5])}
local now = now_ms()
local taken = {}

local function give_up(job, record)
  local said = {'job', job, 'gateway', record.gateway, 'worker', record.worker, 'tries', record.tries - 1}
  redis.call('XADD', base .. 'dead', 'MAXLEN', '~', 1000, '*', unpack(said))
  answer(record.gateway, job, record.token, 0, '')
  forget(job, record)
end

local function begin(rung, entry, fields)
  local job, body = fields[2], fields[4]
  local record = load(job)
  if not record or record.entry ~= entry then
    unqueue(rung, entry)  -- cancelled, or moved, while it was on its way
  elseif not alive(record.gateway) then
    forget(job, record)
  else
    record.token, record.tries = record.token + 1, record.tries + 1
    if record.tries > tries_max then return give_up(job, record) end
    record.worker = worker
    save(job, record)
    local left = record.due == '' and '' or string.format('%.0f', record.due - now)
    taken[#taken + 1] = {job, record.token, left, body}
    room.due = room.due - 1
    room.others = room.others - 1
  end
end

local function reclaim(rung)
  local most = rung == 'due' and room.due or room.others
  if most <= 0 then return end
  local idle = redis.pcall('XPENDING', queue(rung), GROUP, 'IDLE', lease_ms, '-', '+', most)
  for _, pending in ipairs(idle.err and {} or idle) do
    local claimed = redis.call('XCLAIM', queue(rung), GROUP, worker, lease_ms, pending[1])[1]
    if claimed and claimed[2] then
      begin(rung, claimed[1], claimed[2])
    else
      redis.call('XACK', queue(rung), GROUP, pending[1])  -- there is nothing behind it
    end
  end
end

local function read(rung)
  local most = rung == 'due' and room.due or room.others
  if most <= 0 then return end
  local ask = {'XREADGROUP', 'GROUP', GROUP, worker, 'COUNT', most, 'STREAMS', queue(rung), '>'}
  local found = redis.pcall(unpack(ask))
  if found and found.err then
    redis.call('XGROUP', 'CREATE', queue(rung), GROUP, '0', 'MKSTREAM')
    found = redis.call(unpack(ask))
  end
  for _, each in ipairs(found and found[1][2] or {}) do begin(rung, each[1], each[2]) end
  keep(rung)
end

for at = 7, #ARGV, 2 do
  local found = redis.call('XRANGE', queue(ARGV[at]), ARGV[at + 1], ARGV[at + 1])
  if found[1] then
    begin(ARGV[at], found[1][1], found[1][2])
  else
    redis.call('XACK', queue(ARGV[at]), GROUP, ARGV[at + 1])
  end
end
if ARGV[6] == '1' then
  for _, rung in ipairs(RUNGS) do reclaim(rung) end
end
for _, rung in ipairs(RUNGS) do read(rung) end
return taken
