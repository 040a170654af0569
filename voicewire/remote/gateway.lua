-- A gateway's word about one job: ARGV = submit | cancel | postpone, job, …; 1 when it changed anything.
-- submit: gateway, rung, left_ms ('' never due), body.  postpone: rung, left_ms.
-- Said twice, each does what it does once, as long as the job has not ended.

local what, job = ARGV[1], ARGV[2]
local record = load(job)

local function due(left_ms)
  return left_ms == '' and '' or string.format('%.0f', now_ms() + left_ms)
end

if what == 'submit' then
  if record then return 0 end
  record = {rung = ARGV[4], due = due(ARGV[5]), gateway = ARGV[3], worker = '', token = 0, tries = 0, best = 0}
  add(job, record, ARGV[6])
  return 1
end

if not record then return 0 end

if what == 'cancel' then
  if record.worker ~= '' then order(record.worker, 'cancel', job, record.token, '') end
  forget(job, record)
  return 1
end

record.due = due(ARGV[4])
if record.worker ~= '' then order(record.worker, 'postpone', job, record.token, ARGV[4]) end
if record.worker ~= '' or record.rung == ARGV[3] then
  save(job, record)  -- and it keeps its place
  return 1
end
local found = redis.call('XRANGE', queue(record.rung), record.entry, record.entry)
if not found[1] then return 0 end
unqueue(record.rung, record.entry)
record.rung = ARGV[3]
add(job, record, found[1][2][4])
return 1
