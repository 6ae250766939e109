"""Who may see a page: accounts from a file or the environment."""

import pytest
from typer.testing import CliRunner

from app.cli import cli
from app.demo import _accounts
from app.page.accounts import read_accounts


def test_accounts():
    assert read_accounts("ann:a:b\n\nbob:c\n") == {"ann": "a:b", "bob": "c"}
    for text in ("", "\n", "ann", ":x", "ann:"):
        with pytest.raises(ValueError, match=r"name:password"):
            read_accounts(text)


def test_accounts_from_a_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "auth.txt"
    path.write_bytes(b"\xef\xbb\xbfann:secret\r\n")
    assert _accounts(str(path)) == {"ann": "secret"}


def test_accounts_from_the_environment(monkeypatch):
    monkeypatch.setenv("SSSM_AUTH", "nonsense")
    result = CliRunner().invoke(cli, ["demo", "--port", "0"])
    assert (result.exit_code, result.stderr) == (2, "SSSM_AUTH: line 1 is not name:password\n")
