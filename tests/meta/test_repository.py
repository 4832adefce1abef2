"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sessionmedic

ROOT = Path(__file__).parents[2]
CORE = ROOT / "plugins/module_utils/sessionmedic"
# Tables of one kind of line are one thing however long they are.
MAY_BE_LONG = {"sandbox/package-lock.json"}


def tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_one_version() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    sandbox = json.loads((ROOT / "sandbox/package.json").read_text())["version"]
    from sessionmedic._version import __version__

    assert galaxy == sandbox == __version__


def test_the_core_imports_nothing_from_ansible() -> None:
    names = [
        ".".join(path.relative_to(CORE.parent).with_suffix("").parts)
        for path in CORE.rglob("*.py")
        if path.name != "__init__.py"
    ]
    code = f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.partition('.')[0].startswith('ansible')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert Path(sessionmedic.__file__).parent == CORE


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: path.name)
def test_the_core_is_python_3_9_and_imports_itself_relatively(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert not (node.module or "").startswith(("sessionmedic", "ansible")), ast.unparse(node)
        if isinstance(node, ast.Import):
            for name in node.names:
                package = name.name.partition(".")[0]
                assert package not in ("ansible", "sessionmedic", "importlib"), ast.unparse(node)
                assert path.name == "libraries.py" or package not in ("redis", "requests", "sqlalchemy", "psutil")


@pytest.mark.parametrize("path", tracked("*.py", "*.mjs"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_thing(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_no_file_names_this_machine_or_a_registry() -> None:
    # Put together here, so that this file does not hold them.
    words = re.compile("|".join(["/" + "work/", "/" + "root/", "pypi" + r"\.org", "registry" + r"\.npmjs"]))
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in words.finditer(text)]
    assert found == []


def test_every_pinned_package_is_pinned_exactly() -> None:
    lines = (ROOT / "requirements/constraints.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if line and not re.fullmatch(r"[A-Za-z0-9._-]+==[^\s=]+", line)] == []
