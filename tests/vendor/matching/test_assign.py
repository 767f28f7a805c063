"""Assignment keeps exactly the pairs that every largest assignment contains, whatever the order of the input."""

from __future__ import annotations

import random
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.vendor.matching.assign import certain, components, largest

Graph = dict[str, list[int]]
Pairs = frozenset[tuple[str, int]]

graphs = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True), max_size=6
)


def every_largest(graph: Graph) -> list[Pairs]:
    """All largest assignments, by trying everything."""
    choices = [[(left, right) for right in rights] + [None] for left, rights in graph.items()]
    found = [
        frozenset(pair for pair in chosen if pair)
        for chosen in product(*choices)
        if len({pair[1] for pair in chosen if pair}) == sum(1 for pair in chosen if pair)
    ]
    most = max(map(len, found))
    return [pairs for pairs in found if len(pairs) == most]


@settings(deadline=None)
@given(graphs)
def test_certain_pairs_are_those_in_every_largest_assignment(graph: Graph) -> None:
    truth = every_largest(graph)
    assert frozenset(largest(graph).items()) in truth
    assert frozenset(certain(graph).items()) == frozenset.intersection(*truth)


@settings(deadline=None)
@given(graphs, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(graph: Graph, order: random.Random) -> None:
    names = list(graph)
    order.shuffle(names)
    shuffled = {name: order.sample(graph[name], len(graph[name])) for name in names}
    assert certain(shuffled) == certain(graph)


@settings(deadline=None)
@given(graphs)
def test_components_hold_every_pair_once_and_share_nothing(graph: Graph) -> None:
    pairs = [(left, right) for left, rights in graph.items() for right in rights]
    parts = components(pairs)
    assert sorted(
        (left, right) for part in parts for left, rights in part.items() for right in rights
    ) == sorted(pairs)
    held = [{right for rights in part.values() for right in rights} for part in parts]
    assert sum(map(len, held)) == len({right for _, right in pairs})


def test_a_pair_that_follows_from_another_is_certain() -> None:
    assert certain({"a": [1], "b": [1, 2]}) == {"a": 1, "b": 2}


def test_two_that_could_swap_are_not_certain() -> None:
    assert certain({"a": [1, 2], "b": [1, 2], "c": [3]}) == {"c": 3}
