"""What happens to the network between an instance and the servers."""

import time
from random import Random

from chaos.scene import Scene
from tests.support.proxy import Proxy


def split_from_redis(scene: Scene, dice: Random) -> None:
    """One instance is cut off from Redis, and so from the other instances."""
    _split(dice, [dice.choice(scene.redis_ways)])


def split_from_postgres(scene: Scene, dice: Random) -> None:
    """One instance is cut off from PostgreSQL."""
    _split(dice, [dice.choice(scene.database_ways)])


def split_from_both(scene: Scene, dice: Random) -> None:
    """One instance is cut off from both."""
    number = dice.randrange(len(scene.instances))
    _split(dice, [scene.redis_ways[number], scene.database_ways[number]])


def cut(scene: Scene, dice: Random) -> None:
    """Every connection to a server breaks, three times."""
    for _ in range(3):
        for way in scene.database_ways + scene.redis_ways:
            way.cut()
        time.sleep(dice.uniform(0.1, 1))


def _split(dice: Random, ways: list[Proxy]) -> None:
    """Refuse, or be silent and break in the end."""
    silent = dice.random() < 0.5
    for way in ways:
        way.hang() if silent else way.refuse()
    time.sleep(dice.uniform(4, 9))
    for way in ways:
        if silent:
            way.cut()
        way.restore()
