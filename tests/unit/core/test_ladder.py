import pytest

from sessionmedic.errors import ConfigError
from sessionmedic.ladder import Rung, plan
from sessionmedic.models import ConnectionState, HealthState

C = ConnectionState.CONNECTED
ILL = HealthState.CORRUPTED
PEERS = ("15550001111.0",)


def names(rungs: "list[Rung]") -> "list[str]":
    return [f"{rung.remedy}{'(peers)' if rung.peers else ''}" for rung in rungs]


def test_a_corrupted_session_climbs_from_restart_to_restore() -> None:
    rungs = plan("auto", ILL, C, {"bad_mac": 5}, PEERS)
    assert names(rungs) == ["restart", "regenerate(peers)", "regenerate", "restore"]
    assert rungs[1].peers == PEERS


def test_what_failed_lately_is_not_tried_again() -> None:
    assert names(plan("auto", ILL, C, {"bad_mac": 5}, PEERS, tried={"restart"}))[0] == "regenerate(peers)"


def test_auto_never_unlinks() -> None:
    for health in HealthState:
        for state in ConnectionState:
            assert "recreate" not in names(plan("auto", health, state, {"bad_mac": 9}, PEERS, force=True))


@pytest.mark.parametrize("state", [ConnectionState.LOGGED_OUT, ConnectionState.BANNED, ConnectionState.CONFLICT])
@pytest.mark.parametrize("strategy", ["auto", "restart", "regenerate", "restore"])
def test_a_terminal_session_is_never_reconnected(strategy: str, state: ConnectionState) -> None:
    assert plan(strategy, HealthState.DISCONNECTED, state, {"bad_mac": 9}, PEERS, force=True) == []


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (HealthState.HEALTHY, C),
        (HealthState.NOT_FOUND, ConnectionState.UNKNOWN),
        (HealthState.UNKNOWN, ConnectionState.UNKNOWN),
        (HealthState.DISCONNECTED, ConnectionState.QR_REQUIRED),
    ],
)
def test_what_is_not_ill_is_left_alone(health: HealthState, state: ConnectionState) -> None:
    assert plan("auto", health, state, {}) == []


def test_degraded_is_at_most_restarted() -> None:
    assert names(plan("auto", HealthState.DEGRADED, C, {"bad_mac": 4}, PEERS)) == ["restart"]


def test_force_treats_a_healthy_session() -> None:
    assert names(plan("auto", HealthState.HEALTHY, C, {}, force=True)) == ["restart"]


def test_a_named_strategy_is_the_whole_plan() -> None:
    assert names(plan("restart", ILL, C, {"bad_mac": 5}, PEERS)) == ["restart"]
    assert names(plan("regenerate", ILL, C, {"bad_mac": 5}, PEERS)) == ["regenerate(peers)", "regenerate"]
    assert names(plan("regenerate", ILL, C, {"bad_mac": 5})) == ["regenerate"]
    assert names(plan("restore", ILL, C, {})) == ["restore"]
    assert names(plan("recreate", HealthState.HEALTHY, C, {})) == ["recreate"]


def test_a_waiting_qr_code_is_replaced_by_credentials_only_when_asked_by_name() -> None:
    waiting = (HealthState.DISCONNECTED, ConnectionState.QR_REQUIRED, {})
    assert names(plan("restore", *waiting)) == ["restore"]
    assert plan("restart", *waiting) == []


def test_without_keys_in_reach_only_a_restart_is_left() -> None:
    assert names(plan("auto", ILL, C, {"bad_mac": 5}, PEERS, has_keys=False)) == ["restart"]


@pytest.mark.parametrize("state", [ConnectionState.BANNED, ConnectionState.CONFLICT])
def test_a_banned_account_is_not_linked_again_by_us(state: ConnectionState) -> None:
    assert plan("recreate", HealthState.DISCONNECTED, state, {}) == []
    assert names(plan("recreate", HealthState.DISCONNECTED, ConnectionState.LOGGED_OUT, {})) == ["recreate"]


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="strategy 'reboot' is not known. Use one of auto, restart"):
        plan("reboot", ILL, C, {})
