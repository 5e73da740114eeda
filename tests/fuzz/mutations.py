"""Hostile inputs without end: seeds cut, spliced, repeated and salted with the tokens of a grammar."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20" if os.environ.get("CI") == "true" else "3"))
"""How long each target runs: a little on a laptop, two minutes for all of them in CI, as long as you like by hand."""

SALT = [
    "",
    "\0",
    "\r",
    "\n",
    "\r\n",
    "\x1b",
    "\ud7ff",
    "\ufeff",
    "\u202e",
    "é",
    "𐍈",
    "ß",
    "İ",
    " ",
    "\t",
    "\\",
    '"',
    "'",
]


def inputs(seeds: Sequence[str], tokens: Sequence[str], seed: int, longest: int = 4000) -> Iterator[str]:
    """Mutated seeds for ``SECONDS``; the same ``seed`` gives the same inputs."""
    chance = random.Random(seed)
    pool = list(seeds)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = chance.choice(pool)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
            text = _mutate(text, pool, [*tokens, *SALT], chance)[:longest]
        if chance.random() < 0.02 and len(pool) < 5000:
            pool.append(text)
        yield text


def fuzz(target: Callable[[str], None], seeds: Sequence[str], tokens: Sequence[str], seed: int = 0) -> int:
    """Call ``target`` with every input and return how many there were; a failure names its input."""
    count = 0
    for text in inputs(seeds, tokens, seed):
        count += 1
        began = time.process_time()
        try:
            target(text)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\ninput {count}: {text!r}") from error
        spent = time.process_time() - began
        assert spent < 5.0, f"{spent:.1f} s of CPU for input {count}: {text!r}"
    return count


def _mutate(text: str, pool: Sequence[str], tokens: Sequence[str], chance: random.Random) -> str:
    here, there = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    match chance.randrange(7):
        case 0:
            return text[:here] + chance.choice(tokens) + text[here:]
        case 1:
            return text[:here] + text[there:]
        case 2:
            return text[:there] + text[here:there] * chance.choice((1, 2, 50)) + text[there:]
        case 3:
            other = chance.choice(pool)
            return text[:here] + other[chance.randint(0, len(other)) :]
        case 4:
            return text[:here] + chance.choice(tokens) * chance.choice((2, 20, 500)) + text[there:]
        case 5:
            return (
                text[:here]
                + chr(chance.choice((chance.randrange(128), chance.randrange(0xD800))))
                + text[here + 1 :]
            )
        case _:
            return (
                text[:here] + chance.choice(tokens) + text[here:there] + chance.choice(tokens) + text[there:]
            )
