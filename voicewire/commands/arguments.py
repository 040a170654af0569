"""What can be said on the command line, apart from what is needed to do it: that takes a second to import."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

from voicewire.config import ENGINES, settings

LOCAL = "server (default: VOICEWIRE_URL, else the one on the data folder, else http://127.0.0.1:8080)"
VARIABLE_WIDTH = 42
TENANT = "a tenant's id, or the address of the person who owns it"
COUNT_MAX = 2**31 - 1
QUOTAS = ("seconds", "requests_minute", "streams", "request_chars")
KEY = "API key (default: VOICEWIRE_API_KEY, else the one that a server on this machine left)"

Number = TypeVar("Number", int, float)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser("voicewire", description="Speak text while it is being written.")
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    _add_serve(commands.add_parser("serve", help="run the server", description="Run the server."))
    _add_say(commands.add_parser("say", help="speak a text", description="Speak a text, aloud or into a file."))
    _add_voices(commands.add_parser("voices", help="list voices", description="List what a server can speak with."))
    _add_keys(commands.add_parser("keys", help="make, list and revoke API keys", description="Manage API keys."))
    _add_usage(commands.add_parser("usage", help="sum up what was used", description="Sum up what was used."))
    _add_users(commands.add_parser("users", help="list, add and suspend people", description="Manage people."))
    _add_plans(commands.add_parser("plans", help="list plans, and set a tenant's", description="Manage plans."))
    _add_grant(commands.add_parser("grant", help="give seconds to a tenant", description="Give seconds, once."))
    _add_data(commands.add_parser("migrate", help="bring the database up to date", description="Apply what is due."))
    _add_data(commands.add_parser("doctor", help="examine the installation", description="Say what is wrong here."))
    _add_worker(commands.add_parser("worker", help="speak for gateways elsewhere", description="Run a worker."))
    _add_top(commands.add_parser("top", help="watch gateways, workers and queues", description="Watch what runs."))
    commands.add_parser("version", help="print the version")
    return top


def _add_serve(command: argparse.ArgumentParser) -> None:
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    rows = [f"  {row.variable:<{VARIABLE_WIDTH}} {row.meaning}" for row in settings()]
    command.epilog = "\n".join(["environment variables (docs/settings.md has their bounds):", *rows])
    command.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    command.add_argument("--port", help="port to listen on, 0 for a free one (default: 8080)")
    _add_data(command)


def _add_say(command: argparse.ArgumentParser) -> None:
    command.add_argument("text", help="what to say; - speaks standard input as it comes")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="write .wav, .flac, .mp3, .aac or .opus")
    command.add_argument("--play", action="store_true", help="play it (the default without -o)")
    command.add_argument("--voice", help="voice, by its name or id; see `voicewire voices`")
    command.add_argument("--model", help="model to speak with")
    command.add_argument("--language", help="language of the text, such as en-GB")
    command.add_argument("--speed", type=_between(float, 0.5, 2.0), help="0.5 to 2.0")
    command.add_argument("--seed", type=_between(int, 0, 2**32 - 1), help="for models that can repeat themselves")
    command.add_argument("-v", "--verbose", action="store_true", help="list the words also where no terminal is")
    _add_target(command)


def _add_voices(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default="", help="only those of this model")
    command.add_argument("--language", default="", help="only those of this language; en stands for en-GB too")
    _add_target(command)


def _add_keys(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="action")
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--label", default="", help="whose key it is, for the list")
    create.add_argument("--scopes", default="", help="what it may do, comma between (default: what a client needs)")
    create.add_argument("--tenant", default="home", help="whose data it sees (default: %(default)s)")
    create.add_argument(
        "--test", dest="environment", action="store_const", const="test", default="live", help="begin it with vw_test_"
    )
    create.add_argument("--new-tenant", action="store_true", help="make the tenant if there is none")
    listing = actions.add_parser("list", help="list keys")
    listing.add_argument("--tenant", default="", help="only those of this tenant")
    rotate = actions.add_parser("rotate", help="make a key that takes the place of another, and print it, once")
    rotate.add_argument("--overlap", type=_overlap, default=86_400, help="seconds that the old key stays good")
    revoke = actions.add_parser("revoke", help="make a key worthless, for good")
    for action in (rotate, revoke):
        action.add_argument("id", help="the key's id, as listed")
    for action in (create, listing, rotate, revoke):
        _add_data(action)


def _add_usage(command: argparse.ArgumentParser) -> None:
    dimensions = ("tenant", "day", "model", "voice", "key")
    command.add_argument("--by", choices=dimensions, default="tenant", help="what to sum up by (default: tenant)")
    command.add_argument("--from", dest="first", type=_day, help="first day, UTC (default: 30 days)")
    command.add_argument("--to", dest="last", type=_day, help="last day, included (default: today)")
    command.add_argument("--tenant", default="", help="only what this tenant used")
    command.add_argument("--csv", action="store_true", help="write CSV")
    _add_data(command)


def _add_users(command: argparse.ArgumentParser) -> None:
    from voicewire.commands.user_arguments import add_users

    for action in add_users(command):
        _add_data(action)


def _add_plans(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="action")
    listing = actions.add_parser("list", help="list all plans")
    show = actions.add_parser("show", help="say what a tenant has")
    change = actions.add_parser("set", help="give a tenant another plan, now")
    quotas = actions.add_parser("quotas", help="set all that a tenant has beside its plan; without options: nothing")
    for action in (show, change, quotas):
        action.add_argument("tenant", help=TENANT)
    change.add_argument("plan", help="the plan's id, as listed")
    for name in QUOTAS:
        quotas.add_argument("--" + name.replace("_", "-"), type=_count, metavar="N")
    for action in (listing, show, change, quotas):
        _add_data(action)


def _add_grant(command: argparse.ArgumentParser) -> None:
    command.add_argument("tenant", help=TENANT)
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("seconds", nargs="?", type=_count, help="how many")
    what.add_argument("--package", metavar="ID", help="a package instead")
    what.add_argument("--refund", metavar="STREAM", help="what a context or request cost, as `voicewire usage` has it")
    what.add_argument("--reverse", metavar="GRANT", help="take back what is left of what was given under this id")
    command.add_argument("--days", type=_count, metavar="N", help="how long seconds are good (default: for ever)")
    command.add_argument("--id", default="", help="the same id is given once (default: a new one)")
    command.add_argument("--note", default="", help="why, for the audit log and the owner")
    _add_data(command)


def _add_worker(command: argparse.ArgumentParser) -> None:
    command.add_argument("--redis", metavar="URL", help="where its gateways are found (default: VOICEWIRE_REDIS_URL)")
    command.add_argument("--engine", required=True, choices=ENGINES, help="what it speaks with")
    command.add_argument("--model", metavar="PATH", help="folder with the engine's weights (default: its setting)")
    command.add_argument("--name", default="", help="what it is called (default: the host's name)")
    command.add_argument("--workers", metavar="N", help="processes (default: VOICEWIRE_WORKERS)")


def _add_top(command: argparse.ArgumentParser) -> None:
    command.add_argument("--once", action="store_true", help="say it once (the default where no terminal is)")
    command.add_argument("--json", action="store_true", help="write an object on a line, each second without --once")
    command.add_argument("--redis", metavar="URL", help="where the fleet meets (default: the server's)")
    _add_data(command)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", help=LOCAL)
    command.add_argument("--key", help=KEY)
    _add_data(command)


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: VOICEWIRE_DATA_DIR)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= COUNT_MAX:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {COUNT_MAX:,}")
    return int(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a day such as 2026-01-31, not {text!r}") from None


def _overlap(text: str) -> int:
    from voicewire.accounts.keys import OVERLAP_S_MAX

    return _between(int, 0, OVERLAP_S_MAX)(text)


def _between(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        with contextlib.suppress(ValueError):
            number = kind(text)
            if least <= number <= most:
                return number
        raise argparse.ArgumentTypeError(f"must be from {least} to {most}")

    return read
