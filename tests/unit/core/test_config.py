import pytest

from sessionmedic.config import BackendConfig, LogSource
from sessionmedic.errors import InvalidName, SessionMedicError


def test_builds_from_an_inventory_variable() -> None:
    config = BackendConfig.from_mapping(
        "loja",
        {
            "url": "http://127.0.0.1:8080",
            "auth": {"type": "login", "username": "a@b", "password": "pw"},
            "session_path": "/srv/sessions",
            "log_sources": [{"path": "/x/out.log", "stream": "stdout"}, {"path": "/x/err.log", "stream": "stderr"}],
            "states": {"PENDING": "qr_required"},
            "redis_url": None,
        },
    )
    assert config.kind == "whaticket"
    assert config.log_sources[1] == LogSource("/x/err.log", "stderr")
    assert config.redis_prefixes == ("sessions:{id}:",)


def test_defaults_are_those_of_requirement_1() -> None:
    assert BackendConfig("default").url == "http://localhost:8080"


def test_silence_is_filled_from_the_environment() -> None:
    environ = {"DATABASE_URL": "sqlite:///x", "SESSION_STORAGE_PATH": "/s", "CACHE_PATH": "/c"}
    config = BackendConfig("b", session_path="/mine").with_environment(environ)
    assert (config.database_url, config.session_path, config.cache_path) == ("sqlite:///x", "/mine", "/c")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"urls": "x"}, "Unknown key 'urls' in backend b."),
        ({"url": "ftp://x"}, "url is not an http"),
        ({"url": ["http://x"]}, "backend b: url is not text"),
        ({"auth": "x"}, "auth is not a mapping"),
        ({"auth": {"type": "oauth"}}, "auth.type 'oauth' is not known. Use one of none, bearer, login."),
        ({"auth": {"type": "login", "username": "a"}}, "auth.username or auth.password is empty"),
        ({"auth": {"type": "bearer"}}, "auth.token is empty"),
        ({"auth": {"user": "x"}}, "Unknown key 'user' in backend b: auth"),
        ({"log_sources": "x"}, "log_sources is not a list"),
        ({"log_sources": [{"path": "x", "stream": "both"}]}, "log_sources.stream 'both' is not known"),
        ({"log_sources": [{"stream": "stdout"}]}, "Key path is missing in backend b: log_sources"),
        ({"log_sources": [{"path": "x", "session": "../x"}]}, "log_sources.session '../x' is not valid"),
        ({"session_folder": "sessions"}, "session_folder 'sessions' is not one folder name"),
        ({"session_folder": "a/{id}"}, "session_folder 'a/{id}' is not one folder name"),
        ({"redis_prefixes": ["sessions:{id}"]}, "Redis prefix 'sessions:{id}' does not hold {id} between separators"),
        ({"redis_prefixes": ["sessions{id}:"]}, "between separators"),
        ({"error_patterns": [{"literal": "", "kind": "other"}]}, "error_patterns.literal is empty"),
        ({"error_patterns": [{"literal": "x", "kind": "odd"}]}, "error_patterns.kind 'odd' is not known"),
        ({"read_timeout": "soon"}, "read_timeout is not a number of seconds"),
        ({"allow_relink": "yes please"}, "allow_relink is not true or false"),
        ("nonsense", "whatsapp_backend is not a mapping"),
    ],
)
def test_each_wrong_setting_is_named(given: object, message: str) -> None:
    with pytest.raises(SessionMedicError) as caught:
        BackendConfig.from_mapping("b", given)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_a_backend_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(InvalidName, match="backend name"):
        BackendConfig("../x")


def test_secrets_do_not_stand_in_a_printed_configuration() -> None:
    config = BackendConfig.from_mapping(
        "b",
        {
            "auth": {"type": "login", "username": "u", "password": "MARK-1"},
            "redis_url": "redis://:MARK-2@h",
            "database_url": "postgresql://u:MARK-3@h/d",
        },
    )
    assert "MARK" not in repr(config)
