"""The exporter's file: what is right is read, what is wrong is named by its key, and no value is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_exporter.config import ExporterConfig, load
from sessionmedic.config import ErrorPattern
from sessionmedic.errors import ConfigError
from sessionmedic.service_file import listen_address

TESTDATA = Path(__file__).parent / "testdata"

# config-bad-NAME.yaml -> what the error says after the file's name
WRONG = {
    "unknown-key": "window_second is not a known key (did you mean window_seconds?).",
    "unknown-key-in-poll": "poll.conection_seconds is not a known key (did you mean connection_seconds?).",
    "unknown-key-in-backend": "backends[0] (shop).sesion_path is not a known key (did you mean session_path?).",
    "unknown-key-in-log-source": ("backends[0] (shop).log_sources[1].strem is not a known key (did you mean stream?)."),
    "unknown-key-in-auth": "backends[0] (shop).auth.pasword is not a known key (did you mean password?).",
    "no-backends": "backends is missing.",
    "empty-backends": "backends is empty.",
    "backend-without-name": "backends[0].name is missing.",
    "backend-twice": "backends: the name shop is given twice.",
    "file-twice": "log_sources: /var/log/out.log is listed for shop and for other",
    "kind": "Backend shop: kind 'whatsticket' is not known.",
    "seconds-text": "poll.connection_seconds: input should be a valid number",
    "seconds-bool": "poll.connection_seconds: input should be a valid number",
    "seconds-zero": "poll.timeout_seconds: input should be greater than 0",
    "errors-fraction": "corrupted_errors: input should be a valid integer",
    "log-format": "log_format: input should be 'text' or 'json'",
    "name": "The backend name '../../etc' is not valid.",
    "url": "Backend shop: url is not an http(s) URL.",
    "auth": "auth.type is login but auth.username or auth.password is empty.",
    "auth-shape": "backends[0] (shop).auth: ",
    "password-list": "backends[0] (shop).auth.password: input should be a valid string",
    "redis-url": "redis_url: input should be a valid string",
    "pattern-kind": "error_patterns.kind 'unheard' is not known.",
    "state-word": "Backend shop: states maps a word to something that is no connection state.",
    "listen": "listen_address is not host:port.",
    "key-twice": ", line 3, column 1: key window_seconds is given twice.",
    "yaml": ", line 4, column 1: expected ',' or '}'",
    "list": " is not a mapping of keys.",
    "empty": "backends is missing.",
    "latin1": " is not UTF-8 text.",
}


def read(name: str, **environ: str) -> ExporterConfig:
    return load(TESTDATA / f"config-{name}.yaml", environ)


def test_a_good_file() -> None:
    config = read("good")
    shop, other = config.backends
    assert (config.limits.corrupted_errors, config.limits.window_seconds, config.poll.deep_seconds) == (5, 300.0, 120.0)
    assert [source.session for source in shop.log_sources] == ["", "", "26"]
    assert shop.error_patterns == (ErrorPattern("my own error"),)
    assert shop.auth.password == "a-login-secret"
    assert (shop.session_path, other.kind, other.url) == ("", "whaticket", "http://localhost:8080")


def test_no_call_takes_longer_than_a_check() -> None:
    assert [backend.read_timeout for backend in read("good").backends] == [5.0, 5.0]


def test_every_bad_file_is_in_the_table() -> None:
    files = {path.stem.removeprefix("config-bad-") for path in TESTDATA.glob("config-bad-*.yaml")}
    assert files == set(WRONG)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_file_and_no_value(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"bad-{name}")
    message = str(caught.value)
    path = str(TESTDATA / f"config-bad-{name}.yaml")
    assert message.startswith(path)
    assert message.removeprefix(path).removeprefix(": ").startswith(WRONG[name])
    assert "secret" not in message
    assert caught.value.hint


def test_an_unknown_key_without_a_near_one_gets_the_list(tmp_path: Path) -> None:
    file = tmp_path / "exporter.yml"
    file.write_text("backends: [{name: shop, log_sources: [{path: /x, zzz: 1}]}]\n")
    with pytest.raises(ConfigError, match="known keys: path, session, stream"):
        load(file, {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "none.yml", {})


def test_secrets_are_in_no_representation_of_the_configuration() -> None:
    config = read("good")
    assert set(config.secrets()) == {"redis://:a-redis-secret@127.0.0.1:6379/0", "a-login-secret"}
    assert "secret" not in f"{config!r} {config}"


def test_the_environment_fills_in_where_the_file_is_silent() -> None:
    environ = {
        "BACKEND_URL": "http://10.0.0.1:8080",
        "REDIS_URL": "redis://10.0.0.2:6379/0",
        "SESSION_STORAGE_PATH": "/srv/sessions",
        "LOG_LEVEL": "DEBUG",
    }
    config = read("good", **environ)
    shop, other = config.backends
    assert (shop.url, other.url) == ("http://127.0.0.1:8080", "http://10.0.0.1:8080")
    assert config.redis_url.get_secret_value().startswith("redis://:a-redis-secret@")
    assert (other.session_path, config.log_level) == ("/srv/sessions", "DEBUG")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9877", ("127.0.0.1", 9877)),
        (":9877", ("", 9877)),
        ("[::1]:0", ("::1", 0)),
        ("host.example:80", ("host.example", 80)),
    ],
)
def test_listen_addresses(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "9877", "localhost", "host:99999", "host:http", "[::1:9877", "host:-1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"listen_address is not host:port\."):
        listen_address(text)
