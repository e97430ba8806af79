"""Identifiers have one form, and the same cause always gives the same one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runplane.contract.ids import (
    derive_record_id,
    derive_run_id,
    is_host_id,
    is_name,
    is_run_id,
    record_id_from,
    run_id_from,
)


@given(st.binary(min_size=16, max_size=32))
def test_ids_made_from_entropy_have_their_form(entropy: bytes) -> None:
    assert is_run_id(run_id_from(entropy))
    assert len(record_id_from(entropy)) == 32


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1))
def test_an_id_derived_from_its_cause_is_always_the_same(cause: list[str]) -> None:
    assert derive_record_id(*cause) == derive_record_id(*cause)
    assert is_run_id(derive_run_id(*cause))


def test_other_parts_give_other_ids() -> None:
    assert derive_record_id("a", "bc") != derive_record_id("ab", "c")
    assert derive_run_id("a") != derive_run_id("b")


@pytest.mark.parametrize("text", ["run_0dcbc991c0d4"])
def test_a_run_id(text: str) -> None:
    assert is_run_id(text)


@pytest.mark.parametrize(
    "text",
    ["run_0dcbc991c0d4\n", "run_0DCBC991C0D4", "run_0dcbc991c0d", "run_0dcbc991c0d44", "0dcbc991c0d4", ""],
)
def test_no_run_id(text: str) -> None:
    assert not is_run_id(text)


@pytest.mark.parametrize("text", ["a", "web-1", "0", "a" * 63])
def test_a_host_id_is_a_name_too(text: str) -> None:
    assert is_host_id(text)
    assert is_name(text)


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a.b", "a b", "a" * 64, "a\n", "a>", "*"])
def test_what_would_break_a_subject_is_neither(text: str) -> None:
    assert not is_host_id(text)
    assert not is_name(text)


def test_a_name_may_have_underscores_where_a_host_id_may_not() -> None:
    assert is_name("nightly_build")
    assert not is_host_id("nightly_build")
