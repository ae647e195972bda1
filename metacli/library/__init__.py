"""metacli from Python: `from metacli import evaluate, load, train` finds it here. Commands run by the same code."""
