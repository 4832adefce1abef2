from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from alert_webhook import cli
from alert_webhook.config import WebhookConfig, load, register_secrets
from sessionmedic import service_log
from sessionmedic.errors import ConfigError
from sessionmedic.service_file import listen_address


def _write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "webhook.yml"
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


def _load(folder: Path, environ: dict[str, str] | None = None, **settings: object) -> WebhookConfig:
    return load(_write(folder, yaml.safe_dump({"backends": ["shop"], **settings})), environ or {})


def test_what_is_silent_has_the_documented_defaults(tmp_path: Path) -> None:
    config = _load(tmp_path)
    assert config.listen_address == "127.0.0.1:9878"
    assert config.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert config.allowed_playbooks == ("fix_session",)
    assert (config.cooldown_seconds, config.job_timeout_seconds, config.heartbeat_seconds) == (300, 900, 15)
    assert config.playbook("fix_session") == "sessionmedic.whatsapp.fix_session"
    assert config.log_path == tmp_path / "logs"


def test_the_environment_fills_in_and_the_file_goes_first(tmp_path: Path) -> None:
    environ = {"REDIS_URL": "redis://other/1", "LOG_LEVEL": "DEBUG"}
    config = _load(tmp_path, environ)
    assert (config.redis_url.get_secret_value(), config.log_level) == ("redis://other/1", "DEBUG")
    config = _load(tmp_path, environ, redis_url="redis://mine/2", log_level="ERROR")
    assert (config.redis_url.get_secret_value(), config.log_level) == ("redis://mine/2", "ERROR")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/fix_session.yml").touch()
    config = _load(tmp_path, playbook_path="playbooks", log_path="/var/log/x", auth={"bearer_token_file": "token"})
    assert config.playbook("fix_session") == str(tmp_path / "playbooks/fix_session.yml")
    assert config.log_path == Path("/var/log/x")
    assert config.auth.bearer_token_file == tmp_path / "token"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cooldown": 5}, r"cooldown is not a known key \(did you mean cooldown_seconds\?\)"),
        (
            {"auth": {"bearer_tokenfile": "x"}},
            r"auth\.bearer_tokenfile is not a known key \(did you mean bearer_token_f",
        ),
        ({"zzz": 5}, r"zzz is not a known key \(known keys: allowed_playbooks, "),
        ({"cooldown_seconds": "MARKED"}, "cooldown_seconds: input should be a valid number"),
        ({"cooldown_seconds": -1}, "cooldown_seconds: input should be greater than or equal to 0"),
        ({"cooldown_seconds": True}, "cooldown_seconds: "),
        ({"job_timeout_seconds": 0}, "job_timeout_seconds: "),
        ({"heartbeat_seconds": 0.5}, "heartbeat_seconds: "),
        ({"threads": 0}, "threads: "),
        ({"log_format": "xml"}, "log_format: "),
        ({"log_level": "LOUD"}, "log_level: "),
        ({"listen_address": "9878"}, "listen_address is not host:port"),
        ({"listen_address": "127.0.0.1:99999"}, "listen_address is not host:port"),
        ({"redis_url": "http://:MARKED@x"}, "redis_url is not a Redis URL"),
        ({"backends": ["../.."]}, r"backends\.0: the name '\.\./\.\.' is not valid"),
        ({"backends": None}, "Neither backends nor inventory is given"),
        ({"allowed_playbooks": ["a/b"]}, r"allowed_playbooks\.0: the name 'a/b'"),
        ({"playbook_path": "nowhere"}, "playbook_path .*/nowhere does not exist"),
        ({"inventory": "nowhere.yml"}, "inventory .*/nowhere.yml does not exist"),
        ({"playbook_path": "."}, r"allowed_playbooks: .*/fix_session\.yml does not exist"),
        ({"variables": {"id": 5}}, "variables.id is set by the worker"),
        ({"variables": {"redis_url": "x"}}, "variables.redis_url is set by the worker"),
        ({"variables": {"a b": 5}}, "variables"),
        ({"auth": {"bearer_token": "MARKED-token-xxxxxxx", "bearer_token_file": "x"}}, "are both given"),
        ({"tls": {"cert_file": "x"}}, r"tls\.key_file is missing"),
    ],
)
def test_an_error_names_the_key_and_never_a_value(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        _load(tmp_path, **settings)
    assert "webhook.yml" in str(error.value)
    assert "MARKED" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", r"line 1, column 5|line 2, column 1"),
        ("- 1", "is not a mapping of keys"),
        ("log_format: text\nlog_format: json", "line 2.*key log_format is given twice"),
        ("redis_url: MARKED: x", "line 1"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        load(_write(tmp_path, text), {})
    assert "MARKED" not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing.yml cannot be read: No such file or directory"):
        load(tmp_path / "missing.yml", {})
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(tmp_path / "latin.yml", {})


def test_a_token_in_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    text = yaml.safe_dump({"backends": ["shop"], "auth": {"bearer_token": "0123456789abcdef"}})
    with pytest.raises(ConfigError, match="a file that everybody can read. chmod o= "):
        load(_write(tmp_path, text, 0o644), {})
    token = load(_write(tmp_path, text, 0o640), {}).auth.bearer_token
    assert token is not None and token.get_secret_value() == "0123456789abcdef"


def test_secrets_of_the_configuration_are_hidden_wherever_they_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_log, "_secrets", set())
    token = "0123456789abcdef"
    config = _load(tmp_path, redis_url="redis://:r3dis-pass@host/0", auth={"bearer_token": token})
    register_secrets(config)
    assert service_log.redact(f"a r3dis-pass b {token} c") == "a *** b *** c"
    assert "r3dis-pass" not in repr(config) and token not in repr(config)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:9878", "::1", 9878), (":80", "", 80)]
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert listen_address(text) == (host, port)


def test_the_commands_check_a_file_without_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef")
    good = _write(tmp_path, yaml.safe_dump({"backends": ["shop"], "auth": {"bearer_token_file": "token"}}))
    listen = "--web.listen-address=127.0.0.1:0"
    assert cli.webhook_main([f"--config.file={good}", listen, "--check-config"]) == 0
    assert cli.worker_main([f"--config.file={good}", "--check-config"]) == 0
    assert capsys.readouterr().out.count(": correct.") == 2
    bad = _write(tmp_path, "backends: [shop]\ncooldwn_seconds: 5\n")
    for main in (cli.webhook_main, cli.worker_main):
        assert main([f"--config.file={bad}", "--check-config"]) == 2
        assert "did you mean cooldown_seconds?" in capsys.readouterr().err
    nobody = _write(tmp_path, "backends: [shop]\n")
    assert cli.webhook_main([f"--config.file={nobody}", listen, "--check-config"]) == 2
    assert "No secret is configured" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.webhook_main([])
