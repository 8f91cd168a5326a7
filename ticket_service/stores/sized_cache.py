"""An LRU cache that is bounded by the memory of its entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SizedCache(Generic[Key, Value]):
    """Keeps the most recently used entries, up to `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size = 0
        """Bytes held now."""

    def get(self, key: Key) -> Value | None:
        """The value under the key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """Store a value under the key, and evict the least recently used entries.

        `size`: bytes that the entry takes, with its key and all objects. An entry larger than the
        whole cache is not stored.
        """
        self.remove(key)
        if size > self._max_bytes:
            return
        self._entries[key] = value, size
        self.size += size
        while self.size > self._max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.size -= freed

    def remove(self, key: Key) -> None:
        """Remove the entry of the key, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]
