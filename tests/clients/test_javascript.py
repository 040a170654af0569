"""The client for JavaScript: its own tests under node against a real server, and the package as `npm pack` makes it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import Served
from voicewire import errors, types

PACKAGE = Path(__file__).parents[2] / "clients" / "javascript"
NODE_MIN = 20
TIMEOUT_S = 90
SPEAK = """
import { Client } from "@voicewire/client";
const client = new Client(process.env.VOICEWIRE_URL, { key: process.env.VOICEWIRE_KEY });
const end = await client.speak("Packed, and unpacked.").finished;
console.log(JSON.stringify(end));
client.close();
"""


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


def node() -> str:
    version = _run(program("node"), "--version")
    if int(version.strip().lstrip("v").partition(".")[0]) < NODE_MIN:
        pytest.skip(f"node {version.strip()} is too old")
    return program("node")


def _run(*command: str | Path, cwd: Path = PACKAGE, environ: Mapping[str, str] | None = None) -> str:
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _reached(served: Served) -> dict[str, str]:
    return {"VOICEWIRE_URL": served.url, "VOICEWIRE_KEY": served.key}


def test_its_own_tests_pass_against_a_real_server(served: Served) -> None:
    said = _run(node(), "--test", "--test-reporter=tap", "test/", environ=_reached(served))
    assert "\n# fail 0\n" in said
    assert "\n# skipped 0\n" in said


def test_what_is_packed_has_types_and_speaks(served: Served, tmp_path: Path) -> None:
    run_by = node()
    npm = (program("npm"), "pack", "--json", "--offline", "--cache", str(tmp_path / "cache"))
    [packed] = json.loads(_run(*npm, "--pack-destination", str(tmp_path)))
    files = {file["path"] for file in packed["files"]}
    assert {"package.json", "README.md", "LICENSE", "src/index.d.ts", "src/index.js", "src/node.js"} <= files
    assert not [file for file in files if file.startswith("test")]
    home = tmp_path / "node_modules" / "@voicewire"
    with tarfile.open(tmp_path / packed["filename"]) as archive:
        archive.extractall(home, filter="data")
    (home / "package").rename(home / "client")
    (tmp_path / "speak.mjs").write_text(SPEAK)
    end = json.loads(_run(run_by, tmp_path / "speak.mjs", cwd=tmp_path, environ=_reached(served)))
    assert end["type"] == "done"
    assert end["audio_ms"] > 0


def test_its_types_know_every_error_and_codec() -> None:
    declared = (PACKAGE / "src" / "index.d.ts").read_text()
    [codes] = re.findall(r"type ErrorCode =(.+?);", declared, re.DOTALL)
    [codecs] = re.findall(r"type Codec =(.+?);", declared)
    assert {*errors.TABLE, "unreachable", "closed"} <= set(re.findall(r'"(\w+)"', codes))
    assert re.findall(r'"(\w+)"', codecs) == [codec.value for codec in types.Codec]
