"""The reader's modules that need no browser, under node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "modules"
NODE_MIN = (20, 19)  # from here on a .js file may be a module without a package.json
TIMEOUT_S = 60


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.lstrip("v").split(".")[:2])) < NODE_MIN:
        pytest.skip(f"node {version.strip()} is too old")
    return found


@pytest.mark.parametrize("module", sorted(MODULES.glob("*.test.mjs")), ids=lambda path: path.name)
def test_module(module: Path) -> None:
    ran = subprocess.run([node(), "--test", module], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
