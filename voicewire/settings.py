"""What a setting is: its row in the table, how its variable is read, and what its value may be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

PREFIX = "VOICEWIRE_"
BOOLS = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


class ConfigError(ValueError):
    """A setting is unknown or its value is not allowed; the message names each, one a line."""


class Setting(NamedTuple):
    """A row of the table, for the command line's help and the documentation."""

    name: str
    variable: str
    type: str
    default: object
    meaning: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    secret: bool


def setting(
    default: T,
    meaning: str,
    low: float | None = None,
    high: float | None = None,
    *,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> T:
    """A field of the table: what it means and what its bounds are."""
    metadata = {"meaning": meaning, "low": low, "high": high, "choices": choices, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


def rows(table: type) -> tuple[Setting, ...]:
    """The rows of a dataclass whose fields are made by `setting`, in their order."""
    return tuple(_row(each) for each in fields(table))


def variable(name: str) -> str:
    """The environment variable of the setting `name`."""
    return PREFIX + name.upper()


def refuse(problems: Iterable[str]) -> None:
    """Raise `ConfigError` if there is any problem."""
    lines = list(problems)
    if lines:
        raise ConfigError("\n".join(lines))


def variables(table: Iterable[Setting], environ: Mapping[str, str]) -> dict[str, object]:
    """Every variable of ours that has a value, and every unknown one, which is refused even when empty."""
    known = {row.variable for row in table}
    ours = {key: value.strip() for key, value in environ.items() if key.startswith(PREFIX)}
    return {key: value for key, value in ours.items() if value or key not in known}


def parse(table: Iterable[Setting], given: Mapping[str, object]) -> dict[str, Any]:
    """The values of `given`, by the names of their settings. Raises `ConfigError`, for all that is wrong at once."""
    rows_by_variable = {row.variable: row for row in table}
    refuse(_unknown(key, tuple(rows_by_variable)) for key in given if key not in rows_by_variable)
    values, problems = {}, []
    for key, value in given.items():
        try:
            values[rows_by_variable[key].name] = _parse(rows_by_variable[key].type, value)
        except ValueError as error:
            problems.append(f"{key} {error}")
    refuse(problems)
    return values


def problems_by_row(table: Iterable[Setting], config: object) -> Iterator[str]:
    """What is wrong with single values."""
    for row in table:
        value = getattr(config, row.name)
        problem = _type_problem(row, value) or _range_problem(row, value) or _choice_problem(row, value)
        if problem:
            yield f"{row.variable} {problem}"


def _row(each: Field[Any]) -> Setting:
    assert each.default is not MISSING, f"{each.name} has no default"
    return Setting(each.name, variable(each.name), str(each.type), each.default, **each.metadata)


def _unknown(key: str, known: tuple[str, ...]) -> str:
    names = [each.removeprefix(PREFIX) for each in known]
    close = difflib.get_close_matches(key.removeprefix(PREFIX), names, n=1)
    return f"{key} is not a setting" + (f"; did you mean {PREFIX}{close[0]}?" if close else "")


def _parse(type_name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    match type_name:
        case "int" | "float":
            return _parse_number(type_name, value)
        case "bool | None":
            return _parse_switch(value)
        case "bool":
            return _parse_bool(value)
        case "tuple[str, ...]":
            return tuple(part.strip() for part in value.split(",") if part.strip())
        case "Path":
            return Path(value)
    assert type_name == "str", f"no parser for {type_name}"
    return value


def _parse_number(type_name: str, value: str) -> float:
    try:
        return int(value) if type_name == "int" else float(value)
    except ValueError:
        kind = "a whole number" if type_name == "int" else "a number"
        raise ValueError(f"must be {kind}, not {value!r}") from None


def _parse_switch(value: str) -> bool | None:
    if value.lower() not in {"auto", *BOOLS}:
        raise ValueError(f"must be on, off or auto, not {value!r}")
    return BOOLS.get(value.lower())


def _parse_bool(value: str) -> bool:
    if value.lower() not in BOOLS:
        raise ValueError(f"must be on or off, not {value!r}")
    return BOOLS[value.lower()]


def _type_problem(row: Setting, value: object) -> str:
    types: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "bool | None": (bool, type(None)),
        "tuple[str, ...]": (tuple,),
        "Path": (Path,),
    }
    allowed = types[row.type]
    right = isinstance(value, allowed) and (bool in allowed or not isinstance(value, bool))
    return "" if right else f"must be of type {row.type}"


def _range_problem(row: Setting, value: Any) -> str:
    if row.low is None or row.high is None or row.low <= value <= row.high:
        return ""
    return f"must be from {row.low:.15g} to {row.high:.15g}, not {value}"


def _choice_problem(row: Setting, value: Any) -> str:
    named = value if isinstance(value, tuple) else (value,)
    if not row.choices or (named and set(named) <= set(row.choices)):
        return ""
    return f"must be one of {', '.join(row.choices)}, not {', '.join(map(str, named)) or 'empty'}"
