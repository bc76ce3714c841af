"""A property that is worked out once."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  (a decorator)
    """``functools.cached_property`` without the lock that it takes up to Python 3.11, which costs more than most of what is kept
    so: for values of one request, which no two threads share."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "once[T]": ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object | None, kind: type) -> "once[T] | T":
        if owner is None:
            return self
        value = vars(owner)[self._name] = self._work(owner)
        return value
