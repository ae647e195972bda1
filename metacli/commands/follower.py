"""A process of a run beside the first: started by that one, or by torchrun. It writes nothing but what went wrong."""

import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from metacli.commands.guard import verdict
from metacli.errors import Interrupted

if TYPE_CHECKING:
    from metacli.distributed import Ranks


def main() -> int:
    folder, *numbers = sys.argv[1:]
    rank, world, parent = map(int, numbers)

    from metacli.distributed import follow

    return _followed(follow(folder, rank, world, parent))


def beside_the_first() -> int:
    """For a process of torchrun's. What to do the first one tells, whatever the command line."""
    from metacli.distributed import follow_launched

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _followed(follow_launched())


def _followed(joining: "AbstractContextManager[tuple[Ranks, Mapping[str, Any]]]") -> int:
    """Exit code."""
    from metacli import api
    from metacli.distributed import LOST, RankLost

    who = "another process"
    try:
        with joining as (ranks, job):
            who = f"process {ranks.rank + 1} of {ranks.world}"
            if job:
                api.follow(ranks, job)
    except RankLost:
        return LOST
    except Interrupted as stopped:
        return stopped.code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        found = verdict(error)
        if found is None:
            raise
        code, told = found
        print(f"metacli: {who}: {told}", file=sys.stderr)
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
