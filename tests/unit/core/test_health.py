import pytest

from sessionmedic.health import Limits, classify
from sessionmedic.models import ConnectionState, HealthState, new_spell

S = ConnectionState
H = HealthState


@pytest.mark.parametrize(
    ("state", "seconds", "errors", "answering", "expected"),
    [
        (S.CONNECTED, 100, 0, None, H.HEALTHY),
        (S.CONNECTED, 100, 1, None, H.DEGRADED),
        (S.CONNECTED, 100, 4, None, H.DEGRADED),
        (S.CONNECTED, 100, 5, None, H.CORRUPTED),
        (S.CONNECTED, 100, 0, False, H.DEGRADED),
        (S.CONNECTED, 100, 0, True, H.HEALTHY),
        (S.CONNECTING, 30, 0, None, H.DEGRADED),
        (S.CONNECTING, 31, 0, None, H.STUCK),
        (S.CONNECTING, 31, 5, None, H.CORRUPTED),
        (S.DISCONNECTED, 10, 0, None, H.DEGRADED),
        (S.DISCONNECTED, 10, 5, None, H.CORRUPTED),
        (S.QR_REQUIRED, 9999, 5, None, H.DISCONNECTED),
        (S.LOGGED_OUT, 10, 9, None, H.DISCONNECTED),
        (S.BANNED, 10, 9, None, H.DISCONNECTED),
        (S.CONFLICT, 10, 9, None, H.DISCONNECTED),
        (S.UNKNOWN, 10, 9, None, H.UNKNOWN),
    ],
)
def test_each_verdict(state: S, seconds: int, errors: int, answering: "bool | None", expected: H) -> None:
    verdict = classify(state, new_spell(state, 1000.0), errors, 1000.0 + seconds, answering=answering)
    assert verdict.state is expected
    assert verdict.healthy is (expected is H.HEALTHY)
    assert verdict.should_cleanup is (expected in (H.STUCK, H.CORRUPTED))
    assert verdict.reason


def test_limits_are_options() -> None:
    limits = Limits(corrupted_errors=2, stuck_seconds=5)
    assert classify(S.CONNECTED, new_spell(S.CONNECTED, 0.0), 2, 1.0, limits).state is H.CORRUPTED
    assert classify(S.CONNECTING, new_spell(S.CONNECTING, 0.0), 0, 6.0, limits).state is H.STUCK
