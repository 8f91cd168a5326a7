"""What happens to Redis (Valkey)."""

import socket
import time
from contextlib import ExitStack, closing
from random import Random

from redis import Redis

from chaos.scene import Scene
from chaos.waits import wait_for
from dev.processes import free_port
from dev.servers import valkey

BALLAST = 4_000
"""Keys that make loading last for seconds, at a millisecond each."""


def restarted_empty(scene: Scene, dice: Random) -> None:
    """It dies with all that it knew, and comes back after a while."""
    scene.redis.stop()
    scene.redis.forget()
    time.sleep(dice.uniform(0, 8))
    scene.redis.start()


def restarted_with_data(scene: Scene, dice: Random) -> None:
    """It is restarted as for an upgrade, and knows all that it knew."""
    scene.redis.stop_with_data()
    time.sleep(dice.uniform(0, 8))
    scene.redis.start()


def flushed(scene: Scene, dice: Random) -> None:
    """Somebody types FLUSHALL."""
    with scene.redis.client() as client:
        client.flushall()


def slow(scene: Scene, dice: Random) -> None:
    """Every answer comes a second late."""
    for way in scene.redis_ways:
        way.slow_down(1)
    time.sleep(dice.uniform(3, 9))
    scene.restore_ways()
    scene.cut_redis()


def full(scene: Scene, dice: Random) -> None:
    """It refuses what needs memory (`noeviction`)."""
    with scene.redis.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        time.sleep(dice.uniform(4, 8))
        client.config_set("maxmemory", 0)


def read_only(scene: Scene, dice: Random) -> None:
    """It answers READONLY, as a demoted server after a fail-over."""
    with scene.redis.client() as client, closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        client.replicaof("127.0.0.1", nobody.getsockname()[1])
        time.sleep(dice.uniform(3, 9))
        client.replicaof("NO", "ONE")


def loading(scene: Scene, dice: Random) -> None:
    """It answers LOADING for some seconds, after a restart with much data."""
    with scene.redis.client() as client:
        client.mset({f"ballast:{number}": "" for number in range(BALLAST)})
    scene.redis.stop_with_data()
    scene.redis.start(key_load_delay="1000", loading_process_events_interval_bytes="1024")
    wait_for(lambda: not scene.redis.is_loading())
    with scene.redis.client() as client:
        client.unlink(*[f"ballast:{number}" for number in range(BALLAST)])


def moved(scene: Scene, dice: Random) -> None:
    """A node of a cluster answers MOVED in its place."""
    with ExitStack() as stack:
        node = _cluster(scene, stack)
        scene.redis.lead_to(node)
        scene.cut_redis()
        time.sleep(dice.uniform(3, 9))
        scene.redis.lead_to()
        scene.cut_redis()


def _cluster(scene: Scene, stack: ExitStack) -> str:
    """Start a cluster of two nodes, and return the URL of the one that has no slots."""
    urls, buses = [], []
    for name in ("cluster-0", "cluster-1"):
        folder = scene.folder / name
        folder.mkdir(exist_ok=True)
        for old in folder.glob("nodes.conf"):
            old.unlink()
        buses.append(free_port())
        settings = {"cluster_enabled": "yes", "cluster_port": str(buses[-1])}
        urls.append(stack.enter_context(valkey(folder, **settings)))
    with Redis.from_url(urls[0]) as empty, Redis.from_url(urls[1]) as other:
        other.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        port = other.connection_pool.connection_kwargs["port"]
        empty.execute_command("CLUSTER", "MEET", "127.0.0.1", port, buses[1])
        wait_for(lambda: "cluster_state:ok" in _text(empty.execute_command("CLUSTER", "INFO")))
    return urls[0]


def _text(answer: object) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)
