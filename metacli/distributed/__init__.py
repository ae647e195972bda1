"""A run shared by several processes, its ranks: each computes some of the chunks, and all know what came of every one.

metacli train device.processes=2                           the first process starts the others
torchrun --nproc-per-node=2 --no-python metacli train      torchrun starts them, on one machine or on several

Every rank adds up the same parts in the same order and makes the same step, so that the bits are those of one process.
Only the first one writes and speaks. A rank that dies closes its connections, which the others notice at once.
"""

from metacli.distributed.joined import follow, follow_launched, joined, release
from metacli.distributed.other import LOST
from metacli.distributed.ranks import ALONE, RankLost, Ranks

__all__ = ["ALONE", "LOST", "RankLost", "Ranks", "follow", "follow_launched", "joined", "release"]
