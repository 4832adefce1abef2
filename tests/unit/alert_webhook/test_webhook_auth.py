from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from pydantic import SecretStr
from werkzeug.datastructures import Authorization

from alert_webhook import auth, cli
from alert_webhook.auth import ANONYMOUS, BEARER, Authenticator, authenticator, hash_password
from alert_webhook.config import AuthConfig
from sessionmedic.errors import ConfigError, InvalidName

TOKEN = "0123456789abcdef"


def _file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


def _bearer(token: str) -> Authorization:
    return Authorization("bearer", token=token)


def _basic(user: str, password: str) -> Authorization:
    return Authorization("basic", {"username": user, "password": password})


def test_the_token_of_the_file_and_no_other(tmp_path: Path) -> None:
    checker = authenticator(AuthConfig(bearer_token_file=_file(tmp_path, f"{TOKEN}\n")))
    assert checker.identify(_bearer(TOKEN)) == BEARER
    for wrong in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f" {TOKEN}", "é" * 16):
        assert checker.identify(_bearer(wrong)) is None
    assert checker.identify(None) is None
    assert checker.identify(_basic("bearer", TOKEN)) is None
    assert checker.schemes == ['Bearer realm="sessionmedic"']


def test_users_with_their_passwords(tmp_path: Path) -> None:
    users = f"# people\n\nana:{hash_password('senha da ana')}\nrui:{hash_password('x')}\n"
    checker = authenticator(AuthConfig(basic_users_file=_file(tmp_path, users)))
    for _ in range(2):
        assert checker.identify(_basic("ana", "senha da ana")) == "ana"
        assert checker.identify(_basic("rui", "x")) == "rui"
        for user, password in (("ana", "x"), ("ana", ""), ("eva", "x"), ("", ""), ("rui", "senha da ana")):
            assert checker.identify(_basic(user, password)) is None
    assert checker.identify(_bearer(TOKEN)) is None
    assert len(checker._verified) == 2


def test_a_password_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def check(hashed: str, password: str) -> bool:
        checked.append(password)
        return password == "right"

    monkeypatch.setattr(auth, "check_password_hash", check)
    checker = Authenticator(users={"ana": "hash"})
    answers = [checker.identify(_basic("ana", word)) for word in ("right", "right", "wrong", "wrong", "right")]
    assert answers == ["ana", "ana", None, None, "ana"]
    assert checked == ["right", "wrong", "wrong"]
    # A user who is not there costs as much.
    assert checker.identify(_basic("eva", "right")) is None
    assert checked[-1:] == ["right"] and len(checked) == 4


def test_it_refuses_to_be_open_unless_told_to() -> None:
    with pytest.raises(ConfigError, match="No secret is configured.*--web.allow-unauthenticated"):
        authenticator(AuthConfig())
    assert authenticator(AuthConfig(), allow_unauthenticated=True).identify(None) == ANONYMOUS


def test_a_secret_that_is_configured_is_wanted_whatever_the_command_line_says(tmp_path: Path) -> None:
    config = AuthConfig(bearer_token_file=_file(tmp_path, TOKEN))
    assert authenticator(config, allow_unauthenticated=True).identify(None) is None


@pytest.mark.parametrize("text", ["", "\n", "short", "0123456789 abcdef", "0123456789abcdeé"])
def test_a_token_that_is_empty_or_weak_is_refused(tmp_path: Path, text: str) -> None:
    inline = [AuthConfig(bearer_token=SecretStr(text))] if text.strip() else []
    for config in (AuthConfig(bearer_token_file=_file(tmp_path, text)), *inline):
        with pytest.raises(ConfigError, match="not one word of at least 16") as error:
            authenticator(config)
        assert not text.strip() or text.strip() not in str(error.value)


def test_an_empty_token_in_the_configuration_is_none() -> None:
    with pytest.raises(ConfigError, match="No secret is configured"):
        authenticator(AuthConfig(bearer_token=SecretStr("")))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no user"),
        ("ana:plain\n", "line 1: the password of ana is not hashed"),
        ("ana\n", "line 1: the password of ana is not hashed"),
        ("ana:$2y$05$abc\n", "is not hashed as we know it"),
    ],
)
def test_a_users_file_that_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        authenticator(AuthConfig(basic_users_file=_file(tmp_path, text)))
    assert "plain" not in str(error.value)


def test_a_user_name_is_a_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        authenticator(AuthConfig(basic_users_file=_file(tmp_path, f"a b:{hash_password('x')}\n")))


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can be read by everybody. Close it: chmod o= "):
        authenticator(AuthConfig(bearer_token_file=_file(tmp_path, TOKEN, 0o604)))


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="auth.bearer_token_file: .*/nowhere cannot be read"):
        authenticator(AuthConfig(bearer_token_file=tmp_path / "nowhere"))


def test_the_command_makes_what_the_users_file_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("señha\n".encode()), "utf-8"))
    assert cli.webhook_main(["--hash-password"]) == 0
    line = f"ana:{capsys.readouterr().out.strip()}{os.linesep}"
    checker = authenticator(AuthConfig(basic_users_file=_file(tmp_path, line)))
    assert checker.identify(_basic("ana", "señha")) == "ana"
