"""The command line.

Exit status: 0 done, 1 the server could not do it, 2 an argument or setting is not right, 3 no server there,
4 the key is missing or may not do that, 5 the audio could not be written or played, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from voicewire.commands.problems import Exit, Problem
from voicewire.config import settings

LOCAL = "server (default: VOICEWIRE_URL, else http://127.0.0.1:8080)"
VARIABLE_WIDTH = 42
TENANT = "a tenant's id, or the address of the person who owns it"
COUNT_MAX = 2**31 - 1
QUOTAS = ("seconds", "requests_minute", "streams", "request_chars")
KEY = "API key (default: VOICEWIRE_API_KEY, else the one that a server on this machine left)"


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command and return its exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = _run(arguments, environ)
        sys.stdout.flush()  # here, where a reader that has gone can still be understood
        return int(status)
    except Problem as problem:
        print(f"voicewire: {problem}", file=sys.stderr)
        return int(problem.exit)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.OK)


def _run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.auth.secret_files import BadSecretFile
    from voicewire.commands.target import problem
    from voicewire.config import ConfigError
    from voicewire.dial import ServerError, Unreachable

    try:
        return COMMANDS[arguments.command](arguments, environ)
    except (ServerError, Unreachable) as error:
        raise problem(error) from error
    except (ConfigError, BadSecretFile) as error:
        raise Problem(Exit.USAGE, str(error)) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Problem(Exit.USAGE, f"{error.filename or 'cannot go on'}: {error.strerror or error}") from error


def _serve(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.target import server_config

    config = server_config(environ, host=arguments.host, port=arguments.port, data_dir=arguments.data)

    from voicewire.server.app import serve

    return serve(config)


def _say(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.say import Wish, say
    from voicewire.commands.target import find_target, key_named

    if arguments.text == "-" and sys.stdin is None:
        raise Problem(Exit.USAGE, "there is no standard input to read from")
    options = {name: getattr(arguments, name) for name in ("voice", "model", "language", "speed", "seed")}
    # Bytes of an argument that are no UTF-8 are surrogates by now, which no message can carry.
    text = arguments.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    wish = Wish(
        None if text == "-" else text,
        arguments.output,
        arguments.play,
        arguments.verbose,
        {name: value for name, value in options.items() if value is not None},
    )
    target = find_target(arguments.url, arguments.key, arguments.data, environ)
    with key_named(target):
        return asyncio.run(say(wish, target, sys.stderr))


def _voices(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.target import find_target, key_named
    from voicewire.commands.voices import list_voices

    target = find_target(arguments.url, arguments.key, arguments.data, environ)
    with key_named(target):
        list_voices(target, arguments.model, arguments.language, sys.stdout)
    return Exit.OK


def _keys(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.accounts.first_key import pepper_of
    from voicewire.commands.keys import Bench, NewKey, create_key, list_keys, revoke_key, rotate_key
    from voicewire.commands.operator import open_operator
    from voicewire.commands.target import server_config

    config = server_config(environ, data_dir=arguments.data)

    async def work() -> None:
        async with open_operator(config) as operator:
            bench = Bench(operator, pepper_of(config))
            match arguments.action:
                case "create":
                    fields = {name: getattr(arguments, name) for name in NewKey._fields}
                    await create_key(bench, NewKey(**fields), sys.stdout)
                case "list":
                    await list_keys(bench, arguments.tenant, sys.stdout)
                case "rotate":
                    await rotate_key(bench, arguments.id, arguments.overlap, sys.stdout)
                case "revoke":
                    await revoke_key(bench, arguments.id, sys.stdout)

    asyncio.run(work())
    return Exit.OK


def _usage(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.operator import open_operator
    from voicewire.commands.target import server_config
    from voicewire.commands.usage import show_usage

    async def work() -> None:
        async with open_operator(server_config(environ, data_dir=arguments.data)) as operator:
            days = arguments.first, arguments.last
            await show_usage(operator, arguments.by, *days, arguments.tenant, sys.stdout, csv=arguments.csv)

    asyncio.run(work())
    return Exit.OK


def _plans(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.operator import open_operator
    from voicewire.commands.plans import list_plans, set_plan, set_quotas, show_plan
    from voicewire.commands.target import server_config

    async def work() -> None:
        async with open_operator(server_config(environ, data_dir=arguments.data)) as operator:
            match arguments.action:
                case "list":
                    await list_plans(operator, sys.stdout)
                case "show":
                    await show_plan(operator, arguments.tenant, sys.stdout)
                case "set":
                    await set_plan(operator, arguments.tenant, arguments.plan, sys.stdout)
                case "quotas":
                    given = {name: getattr(arguments, name) for name in QUOTAS}
                    quotas = {name: value for name, value in given.items() if value is not None}
                    await set_quotas(operator, arguments.tenant, quotas, sys.stdout)

    asyncio.run(work())
    return Exit.OK


def _users(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.operator import open_operator
    from voicewire.commands.target import server_config
    from voicewire.commands.users import manage_users

    async def work() -> None:
        config = server_config(environ, data_dir=arguments.data)
        async with open_operator(config) as operator:
            await manage_users(operator, config, arguments, sys.stdin, sys.stdout)

    asyncio.run(work())
    return Exit.OK


def _grant(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.grant import Gift, give
    from voicewire.commands.operator import open_operator
    from voicewire.commands.target import server_config

    async def work() -> None:
        async with open_operator(server_config(environ, data_dir=arguments.data)) as operator:
            await give(operator, arguments.tenant, Gift.of(arguments), sys.stdout)

    asyncio.run(work())
    return Exit.OK


def _migrate(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.migrate import migrate_database
    from voicewire.commands.target import server_config

    asyncio.run(migrate_database(server_config(environ, data_dir=arguments.data), sys.stdout))
    return Exit.OK


def _doctor(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.doctor import doctor
    from voicewire.commands.target import server_config

    return asyncio.run(doctor(lambda: server_config(environ, data_dir=arguments.data), sys.stdout))


def _version(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:  # noqa: ARG001 - as every command
    print(f"voicewire {version('voicewire')}")
    return Exit.OK


COMMANDS = {
    "serve": _serve,
    "say": _say,
    "voices": _voices,
    "keys": _keys,
    "users": _users,
    "usage": _usage,
    "plans": _plans,
    "grant": _grant,
    "migrate": _migrate,
    "doctor": _doctor,
    "version": _version,
}


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
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="write .wav, .flac, .mp3 or .opus")
    command.add_argument("--play", action="store_true", help="play it (the default without -o)")
    command.add_argument("--voice", help="voice, by its name or id; see `voicewire voices`")
    command.add_argument("--model", help="model to speak with")
    command.add_argument("--language", help="language of the text, such as en-GB")
    command.add_argument("--speed", type=_speed, help="0.5 to 2.0")
    command.add_argument("--seed", type=_seed, help="for models that can repeat themselves")
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

    overlap_s = int(text)
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        raise argparse.ArgumentTypeError(f"must be from 0 to {OVERLAP_S_MAX}")
    return overlap_s


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.5 <= speed <= 2.0:
        raise argparse.ArgumentTypeError("must be from 0.5 to 2.0")
    return speed


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**32:
        raise argparse.ArgumentTypeError("must be from 0 to 4294967295")
    return seed


if __name__ == "__main__":
    sys.exit(main())
