"""The chart as helm renders it, and what Kubernetes would say to that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

CHART = Path(__file__).parent.parent.parent / "deploy" / "helm" / "voicewire"
MISSING = "there is no helm: make install-helm"
DEFINITIONS = "https://kubernetes.io/api/_definitions.json"

Thing = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm on the chart; skips the test where there is none."""
    program = shutil.which("helm", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if program is None:
        pytest.skip(MISSING)
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@cache
def rendered(*settings: str) -> tuple[Thing, ...]:
    """What the chart makes of its own values with `settings` over them, each as `--set` takes it."""
    done = helm("template", "speech", str(CHART), "--set", ",".join(settings))
    assert done.returncode == 0, done.stderr
    return tuple(each for each in yaml.safe_load_all(done.stdout) if each)


def of_kind(kind: str, things: tuple[Thing, ...]) -> dict[str, Thing]:
    return {each["metadata"]["name"]: each for each in things if each["kind"] == kind}


def problems(thing: Thing, version: str) -> list[str]:
    """What is wrong with `thing` by the strict schema of a version of Kubernetes, such as 1.30."""
    group, _, name = thing["apiVersion"].rpartition("/")
    stem = "-".join(part for part in (thing["kind"].lower(), group.split(".")[0], name) if part)
    schema = json.loads((_schemas(version) / f"{stem}.json").read_text(encoding="utf-8"))
    validator = jsonschema_rs.validator_for(schema, registry=_registry(version))
    return [error.message for error in validator.iter_errors(thing)]


@cache
def _registry(version: str) -> jsonschema_rs.Registry:
    definitions = json.loads((_schemas(version) / "_definitions.json").read_text(encoding="utf-8"))
    return jsonschema_rs.Registry([(definitions.get("$id", DEFINITIONS), definitions)])


@cache
def _schemas(version: str) -> Path:
    try:
        found = files("kubernetes-validate") or []
    except PackageNotFoundError:
        pytest.skip("there are no schemas of Kubernetes: make install-helm")
    [one] = [each for each in found if each.match(f"v{version}.*-local-strict/_definitions.json")]
    return Path(str(one.locate())).parent
