from control_plane.metrics.labels import first_names


def test_the_first_names_keep_their_label_whatever_comes_later() -> None:
    names = [f"workflow-{number}" for number in range(200)]
    first = first_names(names, 50)
    assert first == frozenset(names[:50])
    assert first_names([*names, *names, "late"], 50) == first
