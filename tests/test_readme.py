"""The README runs: its Python as it stands, its commands against the real ones, its links to files.

So do the examples in docstrings.

The two `sh` blocks install, so `.ci/run` runs them, word for word, in a fresh environment.
"""

import doctest
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    *re.findall(r"^\$ (.+)$", "\n".join(body for _, body in BLOCKS), re.MULTILINE),
    *re.findall(r"`((?:time )?(?:sssm|python -m) [^`]+)`", README),
]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
DOCUMENTS = ["README.md", "NOTATION.md", "CHANGELOG.md", "assets/README.md"]
EXAMPLES = [path for path in ROOT.glob("sssm/**/*.py") if ">>> " in path.read_text()]


def blocks(language: str) -> list[str]:
    return [body for marked, body in BLOCKS if marked == language]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def executable(words: list[str]) -> list[str]:
    """`sssm ...` and `python -m training.x ...` as this environment runs them."""
    if words[0] == "python":
        return [sys.executable, *words[1:]]
    assert words[0] == "sssm", f"the README runs an unknown program: {words[0]}"
    command = shutil.which("sssm", path=sysconfig.get_path("scripts"))
    assert command, "the command is not installed: pip install -e '.[dev]'"
    return [command, *words[1:]]


@cache
def help_of(*words: str) -> str:
    result = run(*executable([*words, "--help"]))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_block_is_of_a_kind_that_is_checked():
    assert {marked for marked, _ in BLOCKS} == {"sh", "python", "console"}


def test_sh_blocks_are_the_two_that_ci_runs():
    first, second = blocks("sh")
    assert first == "pip install . && sssm classify assets/demo.wav\n"
    assert second == "pip install -e '.[dev]' && python -m pytest -q\n"
    assert "readme_block 1" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str):
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ("yes\n" if "print" in code else "")


def test_the_program_in_the_readme_has_seven_lines():
    assert sum(bool(line.strip()) for line in blocks("python")[0].splitlines()) == 7


def test_the_first_answer_is_the_one_printed():
    command, *printed = blocks("console")[0].splitlines()
    result = run(*executable(shlex.split(command.removeprefix("$ "))))
    assert result.returncode == 0, result.stderr
    # The last digit of a score may depend on the processor.
    assert _without_last_digits(result.stdout) == _without_last_digits("\n".join([*printed, ""]))


def _without_last_digits(text: str) -> str:
    return re.sub(r"\b(\d\.\d\d)\d+\b", r"\1", text)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_their_options_exist(command: str):
    words = shlex.split(command)
    words = words[words[0] == "time" :]
    if words[0] == "pip":
        extra = re.fullmatch(r"pip install \.\[(\w+)\]", " ".join(words))
        assert extra, f"{command} is no install of ours"
        assert extra[1] in EXTRAS, f"there is no extra {extra[1]}"
        return
    named = words[:2] if words[0] == "sssm" else words[:3]
    text = help_of(*named)
    for option in (word for word in words[len(named) :] if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", text), f"{' '.join(named)} has no {option}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document: str):
    text = (ROOT / document).read_text()
    for markdown, html in re.findall(r"\]\(([^)\s]+)\)|href=\"([^\"]+)\"", text):
        target = markdown or html
        if target.startswith("https://"):
            continue
        path = (ROOT / document).parent / target.partition("#")[0]
        assert path.exists(), f"{document} points to {target}"


def test_no_figure_is_missing():
    assert "TODO" not in README
    assert not re.search(r"^[A-Z]{4,}$", README, re.MULTILINE)  # a place kept for one


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_in_docstrings_run(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    failed, attempted = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
    assert attempted
    assert not failed
