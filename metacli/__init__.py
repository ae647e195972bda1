"""metacli: few-shot and meta-learning experiments from one command."""

import os

__version__ = "0.1.0"

# Threads that wait for each other should sleep soon, not spin: on a machine that does anything else, spinning
# made a training step up to 40 times slower, and on a quiet one sleeping costs nothing. OpenMP reads this when
# torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
