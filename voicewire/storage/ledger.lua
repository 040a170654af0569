-- One shard of the ledger: every change, and the entry that tells PostgreSQL of it, in one call or not at all.
-- docs/decisions/0007-ledger.md has the reasons; storage/ledger_script.py has the other side of this interface.
--
-- KEYS: meta, leases, outbox, then the account and the stream of each operation; all have one hash tag.
-- ARGV: the epoch, the time in ms (0: Redis's own), how long a lease is in ms, then each operation in MessagePack.
-- Answer: {'EPOCH', the one in force}, or for each operation {status, what is left or '', a value, the last seq}.
--
-- A block is R (running, has a hold), X (parked or expired: posted so far, may go on) or S (settled). A value that
-- was written in another epoch counts as missing: so a new epoch needs nothing to be deleted.

local META, LEASES, OUTBOX = KEYS[1], KEYS[2], KEYS[3]
local STREAM_MS = 3600000

local epoch, now, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local meta = redis.call('HMGET', META, 'epoch', 'seq')
if meta[1] ~= epoch then return {'EPOCH', meta[1] or ''} end
local seq = tonumber(meta[2] or '0')
local seq_before = seq
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function emit(entry)
  redis.call('XADD', OUTBOX, epoch .. '-' .. (seq + 1), 'e', cmsgpack.pack(entry))
  seq = seq + 1
end

-- Accounts: grants are {id, expires, left}, in the order in which they are burnt, none of them empty.

local function read_account(key, tenant)
  local found = redis.call('HMGET', key, 'e', 'grants', 'held', 'overdraft', 'metered')
  if found[1] ~= epoch then return nil end
  return {
    key = key, tenant = tenant, grants = cmsgpack.unpack(found[2]), held = tonumber(found[3]),
    overdraft = tonumber(found[4]), metered = found[5] == '1',
  }
end

local function write_account(a)
  redis.call('HSET', a.key, 'e', epoch, 'grants', cmsgpack.pack(a.grants), 'held', a.held,
    'overdraft', a.overdraft, 'metered', a.metered and '1' or '0')
end

local function balance(a)
  local sum = -a.overdraft
  for _, grant in ipairs(a.grants) do sum = sum + grant[3] end
  return sum
end

local function burn(a, ms)
  local split = {}
  while ms > 0 and a.grants[1] do
    local grant = a.grants[1]
    local part = math.min(ms, grant[3])
    split[#split + 1] = {'grant:' .. grant[1], part}
    grant[3] = grant[3] - part
    ms = ms - part
    if grant[3] == 0 then table.remove(a.grants, 1) end
  end
  if ms > 0 then
    a.overdraft = a.overdraft + ms
    split[#split + 1] = {'overdraft', ms}
  end
  return split
end

local function insert_grant(a, id, expires, ms)
  local at = 1
  while a.grants[at] and (a.grants[at][2] < expires or (a.grants[at][2] == expires and a.grants[at][1] < id)) do
    at = at + 1
  end
  if a.grants[at] and a.grants[at][1] == id then
    a.grants[at][3] = a.grants[at][3] + ms
  else
    table.insert(a.grants, at, {id, expires, ms})
  end
end

-- Give `ms` back to where it was burnt from; where that has lapsed, to the grant that is next. Return who got it.
local function give(a, account, ms)
  local id = string.match(account, '^grant:(.*)$')
  local expires = id and tonumber(redis.call('HGET', a.key, 'g:' .. id) or '0')
  if id and expires > now then
    insert_grant(a, id, expires, ms)
  elseif a.grants[1] then
    a.grants[1][3] = a.grants[1][3] + ms
    return 'grant:' .. a.grants[1][1]
  else
    a.overdraft = a.overdraft - ms
    return 'overdraft'
  end
  return account
end

local function enter(a, block, post, kind, ms, split)
  emit({a.tenant, 'grant', block, post, kind, ms, 0, 0, '', '', '', now, split})
end

-- What is due by itself: grants lapse at their time, and what was overdrawn is taken from the next that there is.
local function bring_up_to_date(a)
  while a.grants[1] and a.grants[1][2] <= now do
    local id, left = a.grants[1][1], a.grants[1][3]
    table.remove(a.grants, 1)
    redis.call('HDEL', a.key, 'g:' .. id)
    enter(a, id, 1, 'lapse', left, {{'grant:' .. id, left}})
    a.changed = true
  end
  if a.overdraft > 0 and a.grants[1] then
    local covered = math.min(a.overdraft, balance(a) + a.overdraft)
    a.overdraft = a.overdraft - covered
    enter(a, 'cover:' .. epoch .. '-' .. (seq + 1), 0, 'cover', 0, burn(a, covered)) -- the balance stays as it is
    a.changed = true
  end
  return a
end

local function open_account(op, key)
  local a = read_account(key, op[2])
  return a and bring_up_to_date(a)
end

-- Blocks.

local function read_block(key, op, stamp)
  local packed = redis.call('HGET', key, op[4])
  if not packed then return nil end
  local f = cmsgpack.unpack(packed)
  if f[1] ~= stamp then return nil end
  return {
    state = f[2], hold = f[3], ms = f[4], audio = f[5], posted = f[6], sounded = f[7], posts = f[8],
    metered = f[9] == 1, cached = f[10], model = f[11], voice = f[12], key = f[13], split = f[14],
  }
end

local function write_block(key, op, b, stamp)
  redis.call('HSET', key, op[4], cmsgpack.pack({
    stamp, b.state, b.hold, b.ms, b.audio, b.posted, b.sounded, b.posts,
    b.metered and 1 or 0, b.cached, b.model, b.voice, b.key, b.split,
  }))
  redis.call('PEXPIRE', key, STREAM_MS)
end

local function new_block(a, op)
  local metered = op[9] == 1
  if op[9] < 0 then metered = a.metered end
  return {
    state = 'X', hold = 0, ms = 0, audio = 0, posted = 0, sounded = 0, posts = 0,
    metered = metered, cached = op[10], model = op[11], voice = op[12], key = op[13], split = {},
  }
end

local function lease_of(op) return op[2] .. '|' .. op[4] .. '|' .. op[3] end

local function renew(op) redis.call('ZADD', LEASES, now + lease_ms, lease_of(op)) end

local function run(a, op, b, hold)
  b.state, b.hold = 'R', hold
  if b.metered then a.held = a.held + hold end
  renew(op)
end

local function rest(a, op, b, state)
  if b.state == 'R' then
    if b.metered then a.held = a.held - b.hold end
    redis.call('ZREM', LEASES, lease_of(op))
  end
  b.state = state
end

local function charge(a, b, ms)
  local split = burn(a, ms)
  for _, part in ipairs(split) do
    local last = b.split[#b.split]
    if last and last[1] == part[1] then
      last[2] = last[2] + part[2]
    else
      b.split[#b.split + 1] = {part[1], part[2]}
    end
  end
  return split
end

local function refund(a, b, ms)
  local split = {}
  while ms > 0 and b.split[1] do
    local last = b.split[#b.split]
    local part = math.min(ms, last[2])
    split[#split + 1] = {give(a, last[1], part), -part}
    last[2] = last[2] - part
    ms = ms - part
    if last[2] == 0 then table.remove(b.split) end
  end
  return split
end

-- Make what is posted of a block `ms` and `audio` in all.
local function post(a, op, b, ms, audio)
  local more, sound = ms - b.posted, audio - b.sounded
  if more == 0 and sound == 0 then return end
  local kind = (more < 0 or (more == 0 and sound < 0)) and 'refund' or (b.posts == 0 and 'use' or 'late')
  local split
  if not b.metered then
    split = {{'open', more}}
  elseif more < 0 then
    split = refund(a, b, -more)
  else
    split = charge(a, b, more)
  end
  emit({op[2], op[3], op[4], b.posts, kind, more, sound, b.cached, b.model, b.voice, b.key, now, split})
  b.posted, b.sounded, b.posts = ms, audio, b.posts + 1
end

local function told(status, a, b, value)
  return {status, (b == nil or b.metered) and balance(a) or '', value}
end

local acts = {}

function acts.reserve(op, account, stream)
  local a = open_account(op, account)
  if not a then return {'NOACCT', '', 0} end
  local b = read_block(stream, op, epoch)
  if b and b.state == 'R' then renew(op) end
  if b and b.state ~= 'X' then
    if a.changed then write_account(a) end
    return told('OK', a, b, b.hold)
  end
  b = b or new_block(a, op)
  local want, least = math.max(0, op[7] - b.posted), math.max(0, op[8] - b.posted)
  local free = balance(a) - a.held
  if b.metered and least > 0 and free < least then
    if a.changed then write_account(a) end
    return told('SPENT', a, b, 0)
  end
  run(a, op, b, b.metered and math.max(0, math.min(want, free)) or want)
  a.metered = b.metered
  write_block(stream, op, b, epoch)
  write_account(a)
  return told('OK', a, b, b.hold)
end

function acts.touch(op, account, stream)
  local b = read_block(stream, op, epoch)
  if b and b.state == 'S' then return {'DONE', '', 0} end
  if not b or b.state == 'X' then -- its gateway lives: the lease ran out meanwhile, or Redis lost it
    local a = open_account(op, account)
    if not a then return {'NOACCT', '', 0} end
    b = b or new_block(a, op)
    run(a, op, b, op[7])
    write_account(a)
  else
    renew(op)
  end
  b.ms, b.audio = math.max(b.ms, op[5]), math.max(b.audio, op[6])
  write_block(stream, op, b, epoch)
  return {'OK', '', b.ms}
end

local function finish(op, account, stream, state, may_lower)
  local a = open_account(op, account)
  if not a then return {'NOACCT', '', 0} end
  local b = read_block(stream, op, epoch) or new_block(a, op)
  local ms, audio = op[5], op[6]
  if b.state == 'S' and (not may_lower or ms > b.posted or audio > b.sounded) then
    if a.changed then write_account(a) end
    return told('DONE', a, b, b.posted)
  end
  if not may_lower then ms, audio = math.max(ms, b.posted), math.max(audio, b.sounded) end
  rest(a, op, b, state)
  post(a, op, b, ms, audio)
  write_block(stream, op, b, epoch)
  write_account(a)
  return told('OK', a, b, b.posted)
end

function acts.settle(op, account, stream) return finish(op, account, stream, 'S', false) end
function acts.park(op, account, stream) return finish(op, account, stream, 'X', false) end
function acts.amend(op, account, stream) return finish(op, account, stream, 'S', true) end

function acts.expire(op, account, stream)
  local due = tonumber(redis.call('ZSCORE', LEASES, lease_of(op)) or '0')
  if due > now then return {'EARLY', '', 0} end
  local b = read_block(stream, op, epoch)
  if not b or b.state ~= 'R' then
    redis.call('ZREM', LEASES, lease_of(op))
    return {'GONE', '', 0}
  end
  op[5], op[6] = b.ms, b.audio
  return finish(op, account, stream, 'X', false)
end

function acts.left(op, account)
  local a = open_account(op, account)
  if not a then return {'NOACCT', '', 0} end
  if a.changed then write_account(a) end
  return told('OK', a, nil, a.held)
end

-- {op, tenant, overdraft, {{id, expires, left}, …}, {{reversed id, ms}, …}}
function acts.load(op, key)
  if read_account(key, op[2]) then return {'DUP', '', 0} end
  redis.call('DEL', key)
  local a = {key = key, tenant = op[2], grants = {}, held = 0, overdraft = op[3], metered = true}
  for _, grant in ipairs(op[4]) do
    redis.call('HSET', key, 'g:' .. grant[1], string.format('%.0f', grant[2]))
    if grant[3] > 0 then insert_grant(a, grant[1], grant[2], grant[3]) end
  end
  for _, taken in ipairs(op[5]) do redis.call('HSET', key, 'r:' .. taken[1], taken[2]) end
  bring_up_to_date(a)
  write_account(a)
  return told('OK', a, nil, 0)
end

-- {op, tenant, id, expires, ms}
function acts.grant(op, key)
  local a = open_account(op, key)
  if not a then return {'NOACCT', '', 0} end
  local id, expires, ms = op[3], op[4], op[5]
  local known = redis.call('HSETNX', key, 'g:' .. id, string.format('%.0f', expires)) == 0
  if not known and ms > 0 then
    insert_grant(a, id, expires, ms)
    bring_up_to_date(a)
  end
  write_account(a)
  return told(known and 'DUP' or 'OK', a, nil, ms)
end

-- {op, tenant, id, ms}
function acts.reverse(op, key)
  local a = open_account(op, key)
  if not a then return {'NOACCT', '', 0} end
  local id, taken = op[3], tonumber(redis.call('HGET', key, 'r:' .. op[3]) or '-1')
  if taken < 0 then
    taken = 0
    for at, grant in ipairs(a.grants) do
      if grant[1] == id then
        taken = math.min(op[4], grant[3])
        grant[3] = grant[3] - taken
        if grant[3] == 0 then table.remove(a.grants, at) end
        break
      end
    end
    redis.call('HSET', key, 'r:' .. id, taken)
    if taken > 0 then enter(a, id, 2, 'reverse', taken, {{'grant:' .. id, taken}}) end
  end
  write_account(a)
  return told('OK', a, nil, taken)
end

-- {op, tenant, stream, epoch to come, {{block, posted, audio, posts, metered, cached, model, voice, key, split}, …}}
function acts.restore(op, _, stream)
  local restored = 0
  for _, f in ipairs(op[5]) do
    local at = {'restore', op[2], op[3], f[1]}
    if not read_block(stream, at, op[4]) then
      write_block(stream, at, {
        state = 'X', hold = 0, ms = 0, audio = 0, posted = f[2], sounded = f[3], posts = f[4],
        metered = f[5] == 1, cached = f[6], model = f[7], voice = f[8], key = f[9], split = f[10],
      }, op[4])
      restored = restored + 1
    end
  end
  return {'OK', '', restored}
end

local answers = {}
for at = 4, #ARGV do
  local op = cmsgpack.unpack(ARGV[at])
  local key = 2 * (at - 4) + 4
  local done, answer = pcall(acts[op[1]], op, KEYS[key], KEYS[key + 1])
  if not done then -- and the others go on
    answer = {'ERROR', '', tostring(type(answer) == 'table' and answer.err or answer)}
  end
  answer[4] = seq
  answers[#answers + 1] = answer
end
if seq ~= seq_before then redis.call('HSET', META, 'seq', seq) end
return answers
