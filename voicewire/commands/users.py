"""`voicewire users`: list people, add them, suspend them, and set roles and passwords. Passwords are no arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from voicewire.accounts.audit import OPERATOR
from voicewire.accounts.directory import Directory
from voicewire.accounts.letters import Letters
from voicewire.accounts.users import PAGE_MAX, User
from voicewire.auth.passwords import Passwords, password_problem
from voicewire.auth.principal import HOME_TENANT
from voicewire.commands.operator import Operator
from voicewire.commands.problems import Exit, Problem
from voicewire.commands.table import write_table
from voicewire.config import Config
from voicewire.server.people import own_address, told_address
from voicewire.storage.store import Conflict

HEADS = ("id", "address", "name", "role", "since", "last login", "state")


async def manage_users(
    operator: Operator, config: Config, arguments: argparse.Namespace, source: TextIO, out: TextIO
) -> None:
    """Do what `arguments` say."""
    directory = Directory(operator.store, operator.news, operator.grants.apply, lambda: datetime.now(UTC))
    match arguments.action:
        case "list":
            await _list(directory, arguments.search, out)
        case "add":
            await _add(directory, config, arguments, source, out)
        case "password":
            person = await directory.get(arguments.who)
            await _let_in(directory, config, person, source if arguments.stdin else None, out)
        case "role":
            person = await directory.get(arguments.who)
            await directory.set_role(person.id, arguments.role, OPERATOR)
            out.write(f"{person.email} is {arguments.role} now\n")
        case "suspend" | "restore":
            person = await directory.get(arguments.who)
            await directory.set_suspended(person.id, arguments.action == "suspend", OPERATOR)
            out.write(f"{person.email} is {'suspended' if arguments.action == 'suspend' else 'back'}\n")


async def _list(directory: Directory, search: str, out: TextIO) -> None:
    people = page = await directory.page(search, limit=PAGE_MAX)
    while len(page) == PAGE_MAX:
        page = await directory.page(search, page[-1].id, PAGE_MAX)
        people = [*people, *page]
    write_table(HEADS, [_row(person) for person in people], out)


async def _add(
    directory: Directory, config: Config, arguments: argparse.Namespace, source: TextIO, out: TextIO
) -> None:
    tenant = arguments.tenant if arguments.tenant is not None else HOME_TENANT if arguments.admin else ""
    role = "admin" if arguments.admin else "creator"
    try:
        person = await directory.add(arguments.email, None, OPERATOR, name=arguments.name, role=role, tenant=tenant)
    except Conflict:
        raise Problem(Exit.USAGE, f"there is somebody of the address {arguments.email}") from None
    out.write(f"{person.email} is here, as {person.id}\n")
    await _let_in(directory, config, person, source if arguments.stdin else None, out)


async def _let_in(directory: Directory, config: Config, person: User, source: TextIO | None, out: TextIO) -> None:
    if source is None:
        told = told_address(config)
        letters = Letters(told or own_address(config, config.port))
        out.write(f"to set the password, within an hour: {letters.password_link(await directory.link(person.id))}\n")
        if not told and not config.public_url:
            out.write("no server runs on this data folder: the link is as VOICEWIRE_HOST and VOICEWIRE_PORT say\n")
        return
    password = source.readline().rstrip("\r\n")
    if problem := password_problem(password, person.email):
        raise Problem(Exit.USAGE, problem)
    with _passwords() as passwords:
        await directory.set_password(person.id, await passwords.hash(password), OPERATOR)
    out.write("the password is set\n")


@contextmanager
def _passwords() -> Iterator[Passwords]:
    passwords = Passwords()
    try:
        yield passwords
    finally:
        passwords.close()


def _row(person: User) -> tuple[str, ...]:
    since = person.created.strftime("%Y-%m-%d")
    last = person.last_login.strftime("%Y-%m-%d %H:%M") if person.last_login else "never"
    state = "suspended" if person.suspended else "verified" if person.verified else "not verified"
    return person.id, person.email, person.name, person.role, since, last, state
