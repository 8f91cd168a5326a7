"""A cache that is bounded by the memory which its entries take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SizedCache(Generic[Key, Value]):
    """Keeps what was used last, up to so many bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size = 0
        """Bytes held now."""

    def get(self, key: Key) -> Value | None:
        """What is kept under the key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def keep(self, key: Key, value: Value, size: int) -> None:
        """Keep a value in place of the one before, and forget what was not used for longest.

        `size`: bytes that the entry takes, with its key and all objects. What is larger than the
        whole cache is not kept.
        """
        self.forget(key)
        if size > self._max_bytes:
            return
        self._entries[key] = value, size
        self.size += size
        while self.size > self._max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed

    def forget(self, key: Key) -> None:
        """Keep nothing under the key."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]
