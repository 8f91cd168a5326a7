"""An observer, who reads the waiting rooms in Redis many times a second.

Each sample is one script, so it is true of one moment, whose time Redis' clock gives. It changes
nothing.
"""

from __future__ import annotations

import time

from redis import Redis
from redis.exceptions import RedisError

from chaos.history import Record
from chaos.people_calls import Crowd
from ticket_service.stores import keys

SAMPLE_SECONDS = 0.1

_SAMPLE = """
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')}
"""


def sample(crowd: Crowd) -> None:
    """Sample the rooms of all events until the process is told to stop."""
    target = crowd.target
    events = [target.hall.event_id, target.standing.event_id, target.crowded.event_id]
    with Redis.from_url(target.redis_url, decode_responses=True, socket_timeout=5) as redis:
        script = redis.register_script(_SAMPLE)
        while not crowd.stopping.is_set():
            for event in events:
                asked_at = time.time()
                try:
                    now, inside = script(keys=[keys.waiting_room(event)[2]])
                except (RedisError, OSError):
                    continue  # it is away; a sample less
                answer = {"at": now / 1000, "inside": inside}
                crowd.writer.write(
                    Record(
                        "sampler",
                        crowd.role,
                        "sample",
                        {"event": event},
                        asked_at,
                        time.time(),
                        None,
                        answer,
                    )
                )
            crowd.wait(SAMPLE_SECONDS)
