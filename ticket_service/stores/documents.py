"""A cache of answers: JSON, its gzip and its ETag, made once and sent many times.

A cached answer is never older than the last write of this service on any instance: every read asks
Redis for the event's version, and concurrent readers share the question. With writes of other
programs it is at most MAX_AGE old. Without Redis no version is known, and each round of concurrent
readers reads PostgreSQL once.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from isal import igzip

from ticket_service import metrics
from ticket_service.stores.coalescer import Coalescer
from ticket_service.stores.redis import RedisUnavailable
from ticket_service.stores.sized_cache import SizedCache
from ticket_service.stores.versions import Versions

MAX_AGE = 0.9
"""Seconds that an answer is kept. With the time to read it again, that is under one second."""

MAX_EVENT_BYTES = 200_000_000
"""Memory for answers about one event. There are only as many as there are events."""

MAX_LIST_BYTES = 16_000_000
"""Memory for lists. It is separate, as anyone can make any number of them by different queries."""

ENTRY_BYTES = 1_000
"""Memory that an answer takes beside its bytes and the parts of its key; measured: 600 to 700,
without the allocator's own."""

MIN_COMPRESSED_BYTES = 1_000
"""Smaller bodies are not compressed: gzip would save nothing on the wire."""


def compress(body: bytes) -> bytes | None:
    """The gzip of `body`, or None if it is smaller than MIN_COMPRESSED_BYTES."""
    if len(body) < MIN_COMPRESSED_BYTES:
        return None
    return igzip.compress(body, compresslevel=1, mtime=0)


class Document:
    """A JSON answer, ready to send."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        # Weak, since the plain and the compressed body share it.
        self.etag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'

    @cached_property
    def compressed(self) -> bytes | None:
        """The gzip of the body, or None if it is too small."""
        return compress(self.body)


@dataclass(slots=True)
class _Kept:
    document: Document
    version: str | None
    read_at: float


class Documents:
    """The cached answers of this instance."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._events: SizedCache[Hashable, _Kept] = SizedCache(MAX_EVENT_BYTES)
        self._lists: SizedCache[Hashable, _Kept] = SizedCache(MAX_LIST_BYTES)
        metrics.KEPT_BYTES.labels("events").set_function(lambda: self._events.size)
        metrics.KEPT_BYTES.labels("lists").set_function(lambda: self._lists.size)
        self._coalescer: Coalescer[Document] = Coalescer()
        self.forgotten_at = 0.0
        """When `forget` was called last (`time.monotonic()`)."""

    def forget(self) -> None:
        """Send nothing any more that was read before now."""
        self.forgotten_at = time.monotonic()

    def has_list(self, key: Hashable) -> bool:
        """Whether `read` without an `event_id` would return a cached document now."""
        kept = self._lists.get(key)
        return kept is not None and self._is_fresh(kept, "", time.monotonic())

    def read(
        self, key: Hashable, load: Callable[[], bytes], *, event_id: str | None = None
    ) -> Document:
        """The document under `key`, made by `load` if the cached one may be out of date.

        `event_id`: the event whose inventory the document shows; without one only the document's
        age counts. Concurrent callers share one `load`, and what it raises is raised to all.
        """
        return self._coalescer.run(key, lambda: self._read(key, load, event_id))

    def _read(self, key: Hashable, load: Callable[[], bytes], event_id: str | None) -> Document:
        # The version first: a write after it costs one more reading, never a stale answer.
        version = self._ask(self._versions.current, event_id)
        cache = self._lists if event_id is None else self._events
        kept = cache.get(key)
        now = time.monotonic()
        if kept is not None and self._is_fresh(kept, version, now):
            return kept.document
        body = load()
        if kept is not None and body == kept.document.body:
            document = kept.document  # with its gzip
        else:
            document = Document(body)
        if version is None:  # only now, so that unknown ids make no keys in Redis
            version = self._ask(self._versions.begin, event_id)
        cache.put(key, _Kept(document, version, now), _size(key, document))
        return document

    def _is_fresh(self, kept: _Kept, version: str | None, now: float) -> bool:
        return (
            version is not None
            and version == kept.version
            and now - kept.read_at < MAX_AGE
            and kept.read_at > self.forgotten_at
        )

    def _ask(self, versions: Callable[[str], str | None], event_id: str | None) -> str | None:
        """The event's version, or None if it is not known; "" without an event."""
        if event_id is None:
            return ""
        try:
            return versions(event_id)
        except RedisUnavailable:
            return None


def _size(key: Hashable, document: Document) -> int:
    size = ENTRY_BYTES + len(document.body)
    if len(document.body) >= MIN_COMPRESSED_BYTES:
        size += len(document.body)  # for the gzip, which may be made at any time
    parts = key if isinstance(key, tuple) else (key,)
    return size + sum(map(sys.getsizeof, parts))
