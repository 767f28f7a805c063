"""One-to-one assignment on a graph of possible pairs, keeping only the pairs that are beyond doubt.

A pair is kept when every largest assignment contains it, so neither the order of the input nor a lucky first choice can
change the result. Knows nothing of calls and requests: lefts and rights are any hashable names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

L = TypeVar("L", bound=Hashable)
R = TypeVar("R", bound=Hashable)


def components(pairs: Iterable[tuple[L, R]]) -> list[dict[L, list[R]]]:
    """The connected parts of the graph, each as left → its rights, in the order of the pairs."""
    rights: dict[L, list[R]] = {}
    lefts: dict[R, list[L]] = {}
    for left, right in pairs:
        rights.setdefault(left, []).append(right)
        lefts.setdefault(right, []).append(left)
    place = {left: number for number, left in enumerate(rights)}
    seen: set[L] = set()
    parts = []
    for first in rights:
        if first in seen:
            continue
        seen.add(first)
        reached, part = [first], []
        while reached:
            left = reached.pop()
            part.append(left)
            for right in rights[left]:
                fresh = [other for other in lefts.pop(right, ()) if other not in seen]
                seen.update(fresh)
                reached.extend(fresh)
        parts.append({left: rights[left] for left in sorted(part, key=place.__getitem__)})
    return parts


def largest(graph: Mapping[L, list[R]]) -> dict[L, R]:
    """One assignment with as many pairs as possible (augmenting paths); earlier lefts and rights are preferred."""
    owner: dict[R, L] = {}
    dead: set[R] = set()
    for left in graph:
        _augment(graph, left, owner, dead)
    return {left: right for right, left in owner.items()}


def certain(graph: Mapping[L, list[R]]) -> dict[L, R]:
    """The pairs that are in every largest assignment.

    A pair can be done without when its left can pass its right on along an alternating path: from or to somebody who
    goes without, or around a circle (Berge). What remains is certain.
    """
    chosen = largest(graph)
    owner = {right: left for left, right in chosen.items()}
    onward = {
        left: [owner[right] for right in graph[left] if right in owner and owner[right] != left]
        for left in graph
    }
    back: dict[L, list[L]] = {left: [] for left in graph}
    for left, others in onward.items():
        for other in others:
            back[other].append(left)
    without = [left for left in graph if left not in chosen]
    with_spare = [left for left in graph if any(right not in owner for right in graph[left])]
    doubtful = _reached(without, onward) | _reached(with_spare, back) | _on_a_circle(onward, back)
    return {left: right for left, right in chosen.items() if left not in doubtful}


def _augment(graph: Mapping[L, list[R]], start: L, owner: dict[R, L], dead: set[R]) -> None:
    """Give `start` a right, moving others along an augmenting path; nothing changes when there is none.

    What a search reached in vain stays out of reach for ever (a Hungarian tree), so it is put among the `dead` and never
    searched again: all vain searches together cost no more than the graph is large.
    """
    came_from: dict[R, tuple[L, R | None]] = {}
    reached: list[tuple[L, R | None]] = [(start, None)]
    while reached:
        left, through = reached.pop()
        for right in graph[left]:
            if right in came_from or right in dead:
                continue
            came_from[right] = (left, through)
            if right not in owner:
                _flip(owner, came_from, right)
                return
            reached.append((owner[right], right))
    dead.update(came_from)


def _flip(owner: dict[R, L], came_from: Mapping[R, tuple[L, R | None]], end: R) -> None:
    right: R | None = end
    while right is not None:
        owner[right], right = came_from[right]


def _reached(starts: Iterable[L], edges: Mapping[L, list[L]]) -> set[L]:
    """Everything on a path from the starts, themselves included."""
    found = set(starts)
    waiting = list(found)
    while waiting:
        for other in edges[waiting.pop()]:
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def _on_a_circle(onward: Mapping[L, list[L]], back: Mapping[L, list[L]]) -> set[L]:
    """Everything that lies on a circle: in a strongly connected part of more than one (Kosaraju's two passes)."""
    circled: set[L] = set()
    placed: set[L] = set()
    for first in reversed(_finished(onward)):
        if first in placed:
            continue
        part, waiting = {first}, [first]
        while waiting:
            fresh = [other for other in back[waiting.pop()] if other not in placed and other not in part]
            part.update(fresh)
            waiting.extend(fresh)
        placed |= part
        if len(part) > 1:
            circled |= part
    return circled


def _finished(edges: Mapping[L, list[L]]) -> list[L]:
    """All nodes in the order in which a depth-first search leaves them."""
    order: list[L] = []
    seen: set[L] = set()
    for first in edges:
        if first in seen:
            continue
        seen.add(first)
        stack = [(first, iter(edges[first]))]
        while stack:
            node, rest = stack[-1]
            other = next((other for other in rest if other not in seen), None)
            if other is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(other)
                stack.append((other, iter(edges[other])))
    return order
