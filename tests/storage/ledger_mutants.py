"""Wrong ledgers: each differs from the script in one place, and the tests must see it.

`equivalent` says why a change that no test can see is none.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    old: str
    new: str
    equivalent: str = ""

    def apply(self, source: str) -> str:
        """Return `source` with the change made. It must be possible in exactly one place."""
        assert source.count(self.old) == 1, f"{self.name}: found {source.count(self.old)} times"
        return source.replace(self.old, self.new)


MUTANTS = (
    Mutant("any epoch is good", "if meta[1] ~= epoch then", "if false then"),
    Mutant(
        "accounts outlive an epoch", "if found[1] ~= epoch then return nil end", "if not found[1] then return nil end"
    ),
    Mutant("blocks outlive an epoch", "if f[1] ~= stamp then return nil end", ""),
    Mutant("the last number is not kept", "redis.call('HSET', META, 'seq', seq)", ""),
    Mutant("entries share a number", "  seq = seq + 1\nend", "end"),
    Mutant("the last grant is burnt first", "local grant = a.grants[1]\n", "local grant = a.grants[#a.grants]\n"),
    Mutant("overdrawing is free", "a.overdraft = a.overdraft + ms\n", ""),
    Mutant("overdraft is not left out", "local sum = -a.overdraft", "local sum = 0"),
    Mutant("equal ends in any order", "a.grants[at][1] < id", "a.grants[at][1] > id"),
    Mutant("a grant twice in the list", "a.grants[at] and a.grants[at][1] == id then", "false then"),
    Mutant("lapsed grants take refunds", "if id and expires > now then", "if id and expires > 0 then"),
    Mutant("refunds ignore the next grant", "elseif a.grants[1] then", "elseif false then"),
    Mutant("refunds raise the debt", "a.overdraft = a.overdraft - ms", "a.overdraft = a.overdraft + ms"),
    Mutant("grants live a millisecond longer", "a.grants[1][2] <= now", "a.grants[1][2] < now"),
    Mutant("a lapse is told without its amount", "enter(a, id, 1, 'lapse', left,", "enter(a, id, 1, 'lapse', 0,"),
    Mutant("lapsed grants are still known", "redis.call('HDEL', a.key, 'g:' .. id)", ""),
    Mutant("debts are never covered", "if a.overdraft > 0 and a.grants[1] then", "if false then"),
    Mutant("debts are covered twice", "a.overdraft = a.overdraft - covered", ""),
    Mutant("credit is covered, too", "if a.overdraft > 0 and", "if a.overdraft ~= 0 and"),
    Mutant("a lease is held for nothing", "if b.metered then a.held = a.held + hold end", ""),
    Mutant("the unmetered hold credit", "if b.metered then a.held = a.held + hold end", "a.held = a.held + hold"),
    Mutant("holds are not freed", "if b.metered then a.held = a.held - b.hold end", ""),
    Mutant("a hold is freed twice", "if b.state == 'R' then\n    if b.metered", "if true then\n    if b.metered"),
    Mutant("leases stay", "    redis.call('ZREM', LEASES, lease_of(op))\n  end\n  b.state", "  end\n  b.state"),
    Mutant("refunds forget whence", "last[2] = last[2] - part", ""),
    Mutant("all goes back to where the last came from", "local part = math.min(ms, last[2])", "local part = ms"),
    Mutant("every charge is late", "b.posts == 0 and 'use' or 'late'", "'late'"),
    Mutant(
        "posts share a number",
        "b.posted, b.sounded, b.posts = ms, audio, b.posts + 1",
        "b.posted, b.sounded = ms, audio",
    ),
    Mutant(
        "what is posted is forgotten",
        "b.posted, b.sounded, b.posts = ms, audio,",
        "b.posted, b.sounded, b.posts = b.posted, audio,",
    ),
    Mutant("free sound is not told", "if more == 0 and sound == 0 then return end", "if more == 0 then return end"),
    Mutant("the unmetered pay", "if not b.metered then\n    split", "if false then\n    split"),
    Mutant("a repeat extends no lease", "if b and b.state == 'R' then renew(op) end", ""),
    Mutant(
        "a repeat holds more",
        "if b and b.state ~= 'X' then\n    if a.changed",
        "if b and b.state == 'S' then\n    if a.changed",
    ),
    Mutant(
        "a settled block may be held again",
        "if b and b.state ~= 'X' then\n    if a.changed",
        "if b and b.state == 'R' then\n    if a.changed",
    ),
    Mutant(
        "what is posted is held again",
        "local want, least = math.max(0, op[7] - b.posted),",
        "local want, least = op[7],",
    ),
    Mutant("credit can be held twice", "local free = balance(a) - a.held", "local free = balance(a)"),
    Mutant("enough is not enough", "free < least", "free <= least"),
    Mutant("too little is enough", "free < least", "free + 1 < least"),
    Mutant("what is free needs credit", "b.metered and least > 0 and free < least", "b.metered and free < least"),
    Mutant("the unmetered are refused", "if b.metered and least > 0", "if least > 0"),
    Mutant("holds exceed what is left", "math.max(0, math.min(want, free))", "want"),
    Mutant("holds below nothing", "math.max(0, math.min(want, free))", "math.min(want, free)"),
    Mutant("nobody remembers who is metered", "  a.metered = b.metered\n", ""),
    Mutant("touching revives what is settled", "if b and b.state == 'S' then return {'DONE', '', 0} end", ""),
    Mutant("touching takes no hold", "run(a, op, b, op[7])", "run(a, op, b, 0)"),
    Mutant("touching extends no lease", "  else\n    renew(op)\n  end", "  end"),
    Mutant("touching goes backwards", "b.ms, b.audio = math.max(b.ms, op[5]),", "b.ms, b.audio = op[5],"),
    Mutant("settling twice bills twice", "if b.state == 'S' and (not may_lower", "if false and (not may_lower"),
    Mutant(
        "an amendment raises",
        "not may_lower or ms > b.posted or audio > b.sounded",
        "not may_lower or audio > b.sounded",
    ),
    Mutant("an amendment adds sound", "ms > b.posted or audio > b.sounded", "ms > b.posted"),
    Mutant(
        "nothing is ever lowered",
        "if b.state == 'S' and (not may_lower or ms > b.posted or audio > b.sounded)",
        "if b.state == 'S'",
    ),
    Mutant("settling lowers", "if not may_lower then ms, audio =", "if false then ms, audio ="),
    Mutant(
        "a bill is a difference",
        "rest(a, op, b, state)\n  post(a, op, b, ms, audio)",
        "rest(a, op, b, state)\n  post(a, op, b, ms + b.posted, audio)",
    ),
    Mutant(
        "parking ends",
        "finish(op, account, stream, 'X', false) end\nfunction acts.amend",
        "finish(op, account, stream, 'S', false) end\nfunction acts.amend",
    ),
    Mutant("an amendment parks", "finish(op, account, stream, 'S', true)", "finish(op, account, stream, 'X', true)"),
    Mutant("leases end early", "if due > now then", "if due > now + 1 then"),
    Mutant("leases end late", "if due > now then", "if due >= now then"),
    Mutant(
        "an expired block is settled",
        "  return finish(op, account, stream, 'X', false)\nend",
        "  return finish(op, account, stream, 'S', false)\nend",
    ),
    Mutant("an expired block is free", "op[5], op[6] = b.ms, b.audio", "op[5], op[6] = 0, 0"),
    Mutant("loading overwrites", "if read_account(key, op[2]) then return {'DUP', '', 0} end", ""),
    Mutant("loading keeps what was", "  redis.call('DEL', key)\n", ""),
    Mutant("loading forgets the debt", "overdraft = op[3], metered", "overdraft = 0, metered"),
    Mutant(
        "a grant counts twice",
        "local known = redis.call('HSETNX', key, 'g:' .. id, string.format('%.0f', expires)) == 0",
        "local known = false",
    ),
    Mutant("more is taken back than was asked for", "taken = math.min(op[4], grant[3])", "taken = grant[3]"),
    Mutant("more is taken back than is left", "taken = math.min(op[4], grant[3])", "taken = op[4]"),
    Mutant("a grant is taken back twice", "redis.call('HSET', key, 'r:' .. id, taken)", ""),
    Mutant("restoring overwrites", "if not read_block(stream, at, op[4]) then", "if true then"),
    Mutant(
        "restored blocks begin anew",
        "posted = f[2], sounded = f[3], posts = f[4],",
        "posted = f[2], sounded = f[3], posts = 0,",
    ),
    Mutant(
        "an error stops the others",
        "local done, answer = pcall(acts[op[1]], op, KEYS[key], KEYS[key + 1])",
        "local done, answer = true, acts[op[1]](op, KEYS[key], KEYS[key + 1])",
        "no operation of ours fails; test_ledger_script.py has one that does",
    ),
    Mutant(
        "only what is not free needs credit",
        "b.metered and least > 0 and free < least",
        "b.metered and least ~= 0 and free < least",
        "least is never below nothing: math.max",
    ),
)
