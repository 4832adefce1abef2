import pytest

from sessionmedic.errors import InvalidName
from sessionmedic.names import check_name, shown


@pytest.mark.parametrize(
    "value", ["26", 26, "a", "loja-1", "user_1_whatsapp", "5511999990000@s.whatsapp.net", "a" * 128]
)
def test_takes_names(value: object) -> None:
    assert check_name(value) == str(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "../..",
        "*",
        "26 27",
        "a" * 300,
        "{{ lookup('pipe','touch pwned') }}",
        "26\n",
        "a..b",
        "-rf",
        "é",
        ".x",
        "a/b",
        "a:b",
        None,
        True,
        2.5,
        ["26"],
        "26\x00",
        "２６",
    ],
)
def test_refuses_what_could_reach_a_path_a_key_or_a_template(value: object) -> None:
    with pytest.raises(InvalidName) as caught:
        check_name(value)
    assert "session id" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_hostile_value_is_shown_escaped_and_short() -> None:
    assert "\n" not in shown("a\nb")
    assert "\x1b" not in shown("\x1b[31m")
    assert len(shown("x" * 1000)) < 60
