"""The command line.

Exit status: 0 done, 1 the server could not do it, 2 an argument or setting is not right, 3 no server there,
4 the key is missing or may not do that, 5 the audio could not be written or played, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from voicewire.commands.arguments import QUOTAS, parser
from voicewire.commands.problems import Exit, Problem


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command and return its exit status."""
    # Before numpy is loaded, here or in workers: its threads, which nobody asks for anything, would spin at first.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
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

    gc.disable()  # until it serves: what a start makes is here to stay, and looking at it takes a tenth of the start
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
    from voicewire.commands.keys import NewKey, create_key, list_keys, open_bench, revoke_key, rotate_key
    from voicewire.commands.operator import open_operator
    from voicewire.commands.target import server_config

    config = server_config(environ, data_dir=arguments.data)

    async def work() -> None:
        async with open_operator(config) as operator:
            bench = await open_bench(operator, config, making=arguments.action in {"create", "rotate"})
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


def _worker(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.target import server_config
    from voicewire.commands.worker import MODEL_PATHS, worker

    paths = {}
    if arguments.model:
        if arguments.engine not in MODEL_PATHS:
            raise Problem(Exit.USAGE, f"the engine {arguments.engine} has no weights: leave --model out")
        paths = {MODEL_PATHS[arguments.engine]: arguments.model}
    config = server_config(environ, redis_url=arguments.redis, workers=arguments.workers, **paths)
    return worker(config, arguments.engine, arguments.name, sys.stdout)


def _top(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from voicewire.commands.target import server_config
    from voicewire.commands.top import top

    config = server_config(environ, redis_url=arguments.redis, data_dir=arguments.data)
    asyncio.run(top(config, sys.stdout, once=arguments.once, json=arguments.json))
    return Exit.OK


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
    "worker": _worker,
    "top": _top,
    "version": _version,
}


if __name__ == "__main__":
    sys.exit(main())
