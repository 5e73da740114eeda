"""Data classes that cost little to define.

``dataclasses.dataclass`` compiles up to seven functions a class when its module is loaded: 0.7 ms each,
and a batch loads a hundred of them before its first message. Here the same class is made with closures,
and ``__init__`` is compiled when the first instance is made; most classes never get that far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from operator import attrgetter
    from reprlib import recursive_repr

    def dataclass(
        cls=None,
        /,
        *,
        init=True,
        repr=True,  # noqa: A002 - the name the standard library gave it
        eq=True,
        order=False,
        frozen=False,
        kw_only=False,
        slots=False,
    ):
        """Decorate like ``dataclasses.dataclass``: the same fields, methods, errors and meaning of options.

        What is rare (``order``, and a class that inherits from another data class) is left to
        ``dataclasses`` itself. ``fields``, ``replace`` and ``asdict`` work on the result.
        """

        def made(cls):
            inherits = any(hasattr(base, "__dataclass_fields__") for base in cls.__bases__)
            if order or inherits:
                options = {"init": init, "repr": repr, "eq": eq, "order": order, "frozen": frozen}
                return dataclasses.dataclass(cls, kw_only=kw_only, slots=slots, **options)
            if cls.__doc__ is None:
                # Else the signature is worked out for it, which costs more than all the rest.
                cls.__doc__ = cls.__name__
            own = set(vars(cls))
            whole = dataclasses.dataclass(cls, init=False, repr=False, eq=False, kw_only=kw_only, slots=slots)
            if frozen:
                # A class that inherits from this one is told by these whether it may.
                whole.__dataclass_params__.frozen = True
            methods = {}
            if init:
                methods["__init__"] = _late_init(whole, frozen, slots)
            if repr:
                methods["__repr__"] = _repr(whole)
            if eq:
                methods["__eq__"] = _eq(whole)
                methods["__hash__"] = _hash(whole) if frozen else None
            if frozen:
                methods["__setattr__"], methods["__delattr__"] = _refusals(whole)
                if slots:
                    methods["__getstate__"], methods["__setstate__"] = _getstate, _setstate
            for name, method in methods.items():
                if name not in own:
                    setattr(whole, name, method)
            return whole

        return made if cls is None else made(cls)

    def _late_init(cls, frozen, slots):
        """An ``__init__`` that compiles the true one, puts it in its own place and calls it."""

        def first(self, /, *args, **kwargs):
            cls.__init__ = built = _init(cls, frozen, slots)
            built(self, *args, **kwargs)

        return first

    def _init(cls, frozen, slots):
        known = {"_missing": dataclasses.MISSING, "_put": object.__setattr__}
        plain, named, lines = [], [], []
        for field in dataclasses.fields(cls):
            name, value = field.name, field.name
            parameter = name
            if field.default is not dataclasses.MISSING:
                known[f"_default_{name}"] = field.default
                parameter = f"{name}=_default_{name}"
                value = name if field.init else None
            elif field.default_factory is not dataclasses.MISSING:
                known[f"_make_{name}"] = field.default_factory
                parameter = f"{name}=_missing"
                made = f"_make_{name}()"
                value = f"{made} if {name} is _missing else {name}" if field.init else made
            elif not field.init:
                value = None
            if field.init:
                (named if field.kw_only else plain).append(parameter)
            if value is None:
                if slots and field.default is not dataclasses.MISSING:
                    value = f"_default_{name}"  # a class with slots cannot hold the default itself
                else:
                    continue
            if not frozen:
                lines.append(f"_self.{name} = {value}")
            elif slots:
                known[f"_put_{name}"] = cls.__dict__[name].__set__
                lines.append(f"_put_{name}(_self, {value})")
            else:
                lines.append(f"_put(_self, {name!r}, {value})")
        if hasattr(cls, "__post_init__"):
            lines.append("_self.__post_init__()")
        head = ", ".join(["_self", *plain, *(["*", *named] if named else [])])
        body = "\n  ".join(lines or ["pass"])
        exec(f"def __init__({head}):\n  {body}", known)  # noqa: S102 - names of fields, no text from outside
        built = known["__init__"]
        built.__module__, built.__qualname__ = cls.__module__, f"{cls.__qualname__}.__init__"
        return built

    def _values(cls, chosen):
        """A function that gives the values of the chosen fields as a tuple."""
        names = [field.name for field in dataclasses.fields(cls) if chosen(field)]
        if not names:
            return lambda self: ()
        get = attrgetter(*names)
        return get if len(names) > 1 else lambda self: (get(self),)

    def _eq(cls):
        values = _values(cls, lambda field: field.compare)

        def equal(self, other):
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        return equal

    def _hash(cls):
        values = _values(cls, lambda field: field.compare if field.hash is None else field.hash)

        return lambda self: hash(values(self))

    def _repr(cls):
        names = [field.name for field in dataclasses.fields(cls) if field.repr]

        @recursive_repr("...")
        def shown(self):
            values = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
            return f"{self.__class__.__qualname__}({values})"

        return shown

    def _refusals(cls):
        names = frozenset(field.name for field in dataclasses.fields(cls))

        def refuse_value(self, name, value):
            if type(self) is cls or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
            object.__setattr__(self, name, value)

        def refuse_loss(self, name):
            if type(self) is cls or name in names:
                raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
            object.__delattr__(self, name)

        return refuse_value, refuse_loss

    def _getstate(self):
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def _setstate(self, state):
        for field, value in zip(dataclasses.fields(self), state, strict=True):
            object.__setattr__(self, field.name, value)
