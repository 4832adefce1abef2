from sessionmedic.backoff import delays


def test_delays_grow_by_half_up_to_the_maximum() -> None:
    assert list(delays(2.0, 6.0, 0.0, 4, lambda: 0.5)) == [2.0, 3.0, 4.5, 6.0]


def test_the_jitter_is_added_after_the_maximum() -> None:
    assert list(delays(2.0, 2.0, 1.0, 3, iter([0.0, 0.5, 1.0]).__next__)) == [2.0, 2.5, 3.0]
