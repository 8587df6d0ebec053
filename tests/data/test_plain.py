"""Plain data becomes a frozen dataclass, or one sentence says where it does not fit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.data.plain import from_plain


@dataclass(frozen=True, kw_only=True)
class Leaf:
    size: int
    share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Tree:
    name: str
    leaf: Leaf
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    kind: Literal["oak", "fir"] = "oak"
    where: Path | None = None
    said: dict[str, str] | None = None
    old: bool = False


TREE = Tree(
    name="a",
    leaf=Leaf(size=1),
    leaves=(Leaf(size=2), Leaf(size=3, share=1)),
    where=Path("x/y"),
    said={"b": "c"},
    old=True,
)


def test_a_value_comes_back_from_json_with_its_types() -> None:
    found = from_plain(Tree, json.loads(json.dumps(asdict(TREE), default=str)), "tree")
    assert found == TREE
    assert type(found.leaves[1].share) is float and isinstance(found.where, Path) and isinstance(found.leaves, tuple)


def test_what_is_left_out_has_its_default_and_null_is_none_where_that_may_be() -> None:
    assert from_plain(Tree, {"name": "a", "leaf": {"size": 1}, "where": None}, "tree") == Tree(
        name="a", leaf=Leaf(size=1)
    )


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"nmae": "b"}, "a tree has no nmae: did you mean name?"),
        ({"zzz": 1}, "a tree has no zzz"),
        ({"leaf": {"sise": 1}}, "a tree has no leaf.sise: did you mean leaf.size?"),
        ({"leaf": {}}, "the tree lacks something"),
        ({"leaf": 3}, "leaf cannot be 3"),
        ({"leaf": None}, "leaf cannot be None"),
        ({"leaf": {"size": 1.5}}, "leaf.size cannot be 1.5"),
        ({"leaf": {"size": True}}, "leaf.size cannot be True"),
        ({"leaf": {"size": 1, "share": 10**400}}, "leaf.share cannot be 1000"),
        ({"leaf": {"size": 1, "share": "1"}}, "leaf.share cannot be '1'"),
        ({"leaves": {"size": 1}}, "leaves cannot be {'size': 1}"),
        ({"leaves": [{"size": 1}, 2]}, "leaves cannot be 2"),
        ({"pair": [1]}, "pair cannot be [1]"),
        ({"pair": "12"}, "pair cannot be '12'"),
        ({"kind": "elm"}, "kind cannot be 'elm'"),
        ({"kind": ["oak"]}, "kind cannot be ['oak']"),
        ({"where": 1}, "where cannot be 1"),
        ({"said": {"a": 1}}, "said.a cannot be 1"),
        ({"said": [1]}, "said cannot be [1]"),
        ({"old": 1}, "old cannot be 1"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(other: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_plain(Tree, {"name": "a", "leaf": {"size": 1}} | other, "tree")
    assert sentence in str(caught.value) and len(str(caught.value)) < 200


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["size", "share", "b"]), inside),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["name", "leaf", "leaves", "pair", "kind", "where", "said", "old", "x"]), ANYTHING)
)
def test_whatever_json_holds_is_a_value_or_a_sentence(data: dict[str, Any]) -> None:
    try:
        found = from_plain(Tree, data, "tree")
    except ValueError:
        return
    assert isinstance(found, Tree) and isinstance(found.leaf, Leaf)
