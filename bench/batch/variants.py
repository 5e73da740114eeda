"""The conditions that senders are compared under, each with who runs and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from contenders import NODEMAILER, UPYO, Contender, Flowpost, Source
from servers import Server, long_wire, node_sink, smtp_sink
from tables import Goal

FLOWPOST = Flowpost()
ALONE = Flowpost("flowpost --processes 1", options=("--processes", "1"))
CHUNKED = Flowpost("flowpost chunking 8", chunking=8)
TWO = Flowpost("flowpost x 2", processes=2)
SIZE = 5300
LIMIT = Source("smtp-source -d", SIZE, keeps=True)
SOURCE = Source("smtp-source", SIZE, keeps=False)


@dataclass
class Wire:
    """Milliseconds that the long wire takes in each direction."""

    way: int = 25


WIRE = Wire()


@dataclass(frozen=True)
class Way:
    """The way to a server: what to connect to, and who receives at its end."""

    near: Server
    end: Server


@dataclass(frozen=True)
class Variant:
    name: str
    title: str
    server: Callable[[], AbstractContextManager[Way]]
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    rows: float = 1.0  # of --rows
    database: str = "sqlite"
    bases: Sequence[str] = field(default=(NODEMAILER.name, UPYO.name))


@contextmanager
def plain(*options: str) -> Iterator[Way]:
    with smtp_sink(*options) as server:
        yield Way(server, server)


@contextmanager
def ours(**options: bool | int) -> Iterator[Way]:
    with node_sink(**options) as server:  # type: ignore[arg-type]
        yield Way(server, server)


@contextmanager
def far(*, chunking: bool) -> Iterator[Way]:
    with node_sink(chunking=True) if chunking else smtp_sink() as server, long_wire(server, WIRE.way) as wire:
        yield Way(wire, server)


VARIANTS = (
    Variant(
        "plain",
        "smtp-sink, SQLite",
        plain,
        (NODEMAILER, UPYO, FLOWPOST, ALONE, LIMIT, SOURCE),
        (
            Goal("flowpost", "Nodemailer", 5),
            Goal("flowpost", "@upyo/smtp", 1.5),
            Goal("flowpost", "Nodemailer", 0.2, "cpu"),
            Goal("flowpost", LIMIT.name, 0.33),
        ),
        bases=(NODEMAILER.name, UPYO.name, LIMIT.name),
    ),
    Variant(
        "tls",
        "TLS from the start, own sink",
        lambda: ours(tls=True),
        (NODEMAILER, UPYO, FLOWPOST),
        (Goal("flowpost", "Nodemailer", 3.5),),
    ),
    Variant(
        "far",
        "the long wire, smtp-sink",
        lambda: far(chunking=False),
        (NODEMAILER, UPYO, FLOWPOST),
        (Goal("flowpost", "Nodemailer", 1.8),),
        rows=0.2,
    ),
    Variant(
        "chunking",
        "the long wire, own sink with CHUNKING",
        lambda: far(chunking=True),
        (NODEMAILER, FLOWPOST, CHUNKED),
        (Goal(CHUNKED.name, "Nodemailer", 8),),
    ),
    Variant(
        "singly",
        "smtp-sink without PIPELINING",
        lambda: plain("-p"),
        (NODEMAILER, UPYO, FLOWPOST),
        (Goal("flowpost", "Nodemailer", 1),),
    ),
    Variant(
        "postgres",
        "smtp-sink, PostgreSQL (fsync on)",
        plain,
        (NODEMAILER, UPYO, FLOWPOST, TWO),
        database="postgres",
        bases=(NODEMAILER.name, UPYO.name, FLOWPOST.name),
    ),
    Variant(
        "two",
        "100 ms before each acceptance, PostgreSQL",
        lambda: ours(wait=100),
        (FLOWPOST, TWO),
        (Goal(TWO.name, "flowpost", 1.7),),
        database="postgres",
        rows=0.4,
        bases=(FLOWPOST.name,),
    ),
)
