from runplane.cli.difference import Change, differences


def test_it_names_the_innermost_fields() -> None:
    before = {
        "status": "running",
        "progress": {"done": 1, "total": 3},
        "list": [1, {"a": 1}],
        "same": 1,
        "gone": 1,
    }
    after = {
        "status": "killed",
        "progress": {"done": 2, "total": 3},
        "list": [1, {"a": 2}],
        "same": 1,
        "new": 1,
    }
    assert list(differences(before, after)) == [
        Change("status", "running", "killed"),
        Change("progress.done", 1, 2),
        Change("list.1.a", 1, 2),
        Change("gone", 1, None),
        Change("new", None, 1),
    ]


def test_equal_documents_differ_nowhere() -> None:
    assert list(differences({"a": [1]}, {"a": [1]})) == []


def test_lists_of_other_lengths_differ_as_a_whole() -> None:
    assert list(differences({"a": []}, {"a": [1]})) == [Change("a", [], [1])]
