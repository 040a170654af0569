"""What the ledger's script should do, said in Python: a second opinion that keeps everything in plain lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from voicewire.storage.ledger_script import UNKNOWN, Item
from voicewire.storage.postings import Entry

LEASE_MS = 15_000


class Said(NamedTuple):
    status: str
    left_ms: int | None
    value: int


@dataclass
class Grant:
    id: str
    expires: int
    left: int


@dataclass
class Account:
    grants: list[Grant] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    reversed: dict[str, int] = field(default_factory=dict)
    held: int = 0
    overdraft: int = 0
    metered: bool = True

    @property
    def balance(self) -> int:
        return sum(grant.left for grant in self.grants) - self.overdraft

    def add(self, id: str, expires: int, ms: int) -> None:
        same = [grant for grant in self.grants if grant.id == id]
        if same:
            same[0].left += ms
        else:
            self.grants.append(Grant(id, expires, ms))
        self.grants.sort(key=lambda grant: (grant.expires, grant.id))

    def burn(self, ms: int) -> list[tuple[str, int]]:
        split = []
        for grant in self.grants:
            part = min(grant.left, ms)
            grant.left -= part
            ms -= part
            split.append((f"grant:{grant.id}", part))
        self.overdraft += ms
        self.tidy()
        return [each for each in [*split, ("overdraft", ms)] if each[1]]

    def tidy(self) -> None:
        self.grants = [grant for grant in self.grants if grant.left]


@dataclass
class Block:
    item: Item
    metered: bool
    state: str = "X"
    hold: int = 0
    ms: int = 0
    audio: int = 0
    posted: int = 0
    sounded: int = 0
    posts: int = 0
    burnt: list[tuple[str, int]] = field(default_factory=list)


Name = tuple[str, str, int]


class Model:
    """The ledger of one epoch. Times are arguments; what goes to PostgreSQL collects in `outbox`."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.accounts: dict[str, Account] = {}
        self.blocks: dict[Name, Block] = {}
        self.leases: dict[Name, int] = {}
        self.outbox: list[Entry] = []
        self.now = 0

    @property
    def seq(self) -> int:
        return len(self.outbox)

    def reserve(self, item: Item, want: int, least: int, *, metered: bool) -> Said:
        account = self._due(item.tenant)
        if account is None:
            return Said("NOACCT", None, 0)
        block = self.blocks.get(_name(item)) or Block(item, metered)
        if block.state == "R":
            self.leases[_name(item)] = self.now + LEASE_MS
        if block.state != "X":
            return self._say("OK", account, block, block.hold)
        free = account.balance - account.held
        want, least = max(0, want - block.posted), max(0, least - block.posted)
        if block.metered and least > max(free, 0):
            return self._say("SPENT", account, block, 0)
        account.metered = block.metered
        self._run(account, block, max(0, min(want, free)) if block.metered else want)
        return self._say("OK", account, block, block.hold)

    def touch(self, item: Item, ms: int, audio: int, hold: int, metered: int) -> Said:
        block = self.blocks.get(_name(item))
        if block and block.state == "S":
            return Said("DONE", None, 0)
        if block is None or block.state == "X":
            account = self._due(item.tenant)
            if account is None:
                return Said("NOACCT", None, 0)
            block = block or Block(item, account.metered if metered == UNKNOWN else bool(metered))
            self._run(account, block, hold)
        self.leases[_name(item)] = self.now + LEASE_MS
        block.ms, block.audio = max(block.ms, ms), max(block.audio, audio)
        return Said("OK", None, block.ms)

    def settle(self, item: Item, ms: int, audio: int, metered: int = UNKNOWN) -> Said:
        return self._finish(item, ms, audio, "S", metered)

    def park(self, item: Item, ms: int, audio: int, metered: int = UNKNOWN) -> Said:
        return self._finish(item, ms, audio, "X", metered)

    def amend(self, item: Item, ms: int, audio: int, metered: int = UNKNOWN) -> Said:
        return self._finish(item, ms, audio, "S", metered, lower=True)

    def expire(self, item: Item) -> Said:
        name = _name(item)
        if self.leases.get(name, 0) > self.now:
            return Said("EARLY", None, 0)
        block = self.blocks.get(name)
        if block is None or block.state != "R":
            return Said("GONE", None, 0)
        return self._finish(block.item, block.ms, block.audio, "X", UNKNOWN)

    def left(self, tenant: str) -> Said:
        account = self._due(tenant)
        return self._say("OK", account, None, account.held) if account else Said("NOACCT", None, 0)

    def load(self, tenant: str, overdraft: int, grants: list[tuple[str, int, int]]) -> Said:
        if tenant in self.accounts:
            return Said("DUP", None, 0)
        account = self.accounts[tenant] = Account(overdraft=overdraft)
        for id, expires, left in grants:
            account.known[id] = expires
            if left:
                account.add(id, expires, left)
        self._due(tenant)
        return self._say("OK", account, None, 0)

    def grant(self, tenant: str, id: str, expires: int, ms: int) -> Said:
        account = self._due(tenant)
        if account is None:
            return Said("NOACCT", None, 0)
        if id in account.known:
            return self._say("DUP", account, None, ms)
        account.known[id] = expires
        if ms:
            account.add(id, expires, ms)
            self._due(tenant)
        return self._say("OK", account, None, ms)

    def reverse(self, tenant: str, id: str, ms: int) -> Said:
        account = self._due(tenant)
        if account is None:
            return Said("NOACCT", None, 0)
        if id not in account.reversed:
            left = sum(grant.left for grant in account.grants if grant.id == id)
            taken = account.reversed[id] = min(left, ms)
            for grant in account.grants:
                grant.left -= taken if grant.id == id else 0
            account.tidy()
            if taken:
                self._enter(tenant, id, 2, "reverse", taken, [(f"grant:{id}", taken)])
        return self._say("OK", account, None, account.reversed[id])

    def restore(
        self, item: Item, posted: int, sounded: int, posts: int, *, metered: bool, burnt: list[tuple[str, int]]
    ) -> Said:
        if _name(item) in self.blocks:
            return Said("OK", None, 0)
        self.blocks[_name(item)] = Block(item, metered, "X", 0, 0, 0, posted, sounded, posts, list(burnt))
        return Said("OK", None, 1)

    def _finish(self, item: Item, ms: int, audio: int, state: str, metered: int, *, lower: bool = False) -> Said:
        account = self._due(item.tenant)
        if account is None:
            return Said("NOACCT", None, 0)
        known = account.metered if metered == UNKNOWN else bool(metered)
        block = self.blocks.setdefault(_name(item), Block(item, known))
        if block.state == "S" and not (lower and ms <= block.posted and audio <= block.sounded):
            return self._say("DONE", account, block, block.posted)
        if not lower:
            ms, audio = max(ms, block.posted), max(audio, block.sounded)
        if block.state == "R":
            del self.leases[_name(item)]
            account.held -= block.hold if block.metered else 0
        block.state = state
        self._post(account, block, ms - block.posted, audio - block.sounded)
        return self._say("OK", account, block, block.posted)

    def _post(self, account: Account, block: Block, ms: int, audio: int) -> None:
        if (ms, audio) == (0, 0):
            return
        kind = "refund" if (ms or audio) < 0 else ("late" if block.posts else "use")
        if not block.metered:
            split = [("open", ms)]
        elif ms < 0:
            split = [(name, -part) for name, part in self._give_back(account, block, -ms)]
        else:
            split = account.burn(ms)
            for name, part in split:
                same = block.burnt.pop()[1] if block.burnt and block.burnt[-1][0] == name else 0
                block.burnt.append((name, same + part))
        item = block.item
        at = (item.tenant, item.stream, item.block, block.posts, kind, ms, audio)
        self.outbox.append(Entry(*at, int(item.cached), item.model, item.voice, item.key, self.now, split))
        block.posted += ms
        block.sounded += audio
        block.posts += 1

    def _give_back(self, account: Account, block: Block, ms: int) -> list[tuple[str, int]]:
        """What was burnt last comes back first."""
        given = []
        while ms and block.burnt:
            name, burnt = block.burnt.pop()
            part = min(burnt, ms)
            ms -= part
            if burnt > part:
                block.burnt.append((name, burnt - part))
            given.append((self._receive(account, name, part), part))
        return given

    def _receive(self, account: Account, name: str, ms: int) -> str:
        _, grant, id = name.partition("grant:")
        if grant and account.known.get(id, 0) > self.now:
            account.add(id, account.known[id], ms)
            return name
        if account.grants:
            account.grants[0].left += ms
            return f"grant:{account.grants[0].id}"
        account.overdraft -= ms
        return "overdraft"

    def _run(self, account: Account, block: Block, hold: int) -> None:
        block.state, block.hold = "R", hold
        account.held += hold if block.metered else 0
        self.blocks[_name(block.item)] = block
        self.leases[_name(block.item)] = self.now + LEASE_MS

    def _due(self, tenant: str) -> Account | None:
        """The account, brought up to date."""
        account = self.accounts.get(tenant)
        if account is None:
            return None
        for grant in [each for each in account.grants if each.expires <= self.now]:
            account.grants.remove(grant)
            del account.known[grant.id]
            self._enter(tenant, grant.id, 1, "lapse", grant.left, [(f"grant:{grant.id}", grant.left)])
        covered = min(account.overdraft, sum(grant.left for grant in account.grants))
        if covered > 0:
            name = f"cover:{self.epoch}-{self.seq + 1}"
            account.overdraft -= covered
            self._enter(tenant, name, 0, "cover", 0, account.burn(covered))
        return account

    def _enter(self, tenant: str, block: str, post: int, kind: str, ms: int, split: list[tuple[str, int]]) -> None:
        self.outbox.append(Entry(tenant, "grant", block, post, kind, ms, 0, 0, "", "", "", self.now, split))

    def _say(self, status: str, account: Account, block: Block | None, value: int) -> Said:
        return Said(status, account.balance if block is None or block.metered else None, value)


def _name(item: Item) -> Name:
    return (item.tenant, item.stream, item.block)
