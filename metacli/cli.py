"""The `metacli` command: a table of sub-commands, each imported when it is called."""

import sys
from importlib import import_module
from io import TextIOWrapper

from metacli import __version__
from metacli.launched import launched

# name -> (arguments, what it does); the code is metacli/commands/<name>.py
COMMANDS = {
    "train": ("[OVERRIDE ...]", "train and evaluate"),
    "sweep": ("KEY=A,B ...", "a run each, and a table; --resume DIR goes on"),
    "stream": ("[OVERRIDE ...]", "tasks one by one, whose images change midway"),
    "eval": ("RUN [OVERRIDE ...]", "evaluate the best weights of a run again"),
    "resume": ("RUN", "go on with an interrupted run, bit for bit"),
    "rerun": ("RUN [OVERRIDE ...]", "a saved run anew; says whether it is identical"),
    "runs": ("[DIR] [KEY=VALUE ...]", "the runs in a folder: how far, with what result"),
    "show": ("RUN [--report]", "one run on one screen"),
    "report": ("RUN", "a run's report made anew from its best weights"),
    "compare": ("RUN|DIR ...", "one table of finished runs, with paired tests"),
    "list": ("[GROUP]", "what can be chosen: data sets, paradigms, ..."),
    "doctor": ("", "what is installed and works here, and ways out"),
    "completion": ("bash|zsh", 'words at TAB: eval "$(metacli completion bash)"'),
}

USAGE = "\n".join(
    [
        "metacli: few-shot and meta-learning experiments from one command",
        "",
        "usage: metacli COMMAND ...",
        "",
        *(f"  {name + ' ' + arguments:<28}{about}" for name, (arguments, about) in COMMANDS.items()),
        "",
        "An OVERRIDE picks an option (paradigm=protonet) or sets a value",
        "(episode.test.shots=5).",
        "",
        "  metacli train paradigm=maml",
        "  metacli train paradigm=protonet dataset=omniglot episode=20w5s",
        "  metacli sweep paradigm=maml,protonet seed=0,1,2",
        "  metacli train --help         every key and its value",
    ]
)


def main() -> None:
    """Console entry point: runs the command, turns user errors into plain lines, exits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a sign shows "?", and the run goes on
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Exit code: 0 done, 1 differs (rerun), 2 the user's mistake, 128 + n stopped by signal n."""
    from metacli.commands.guard import guarded

    return guarded(lambda: _dispatch(arguments))


def _dispatch(arguments: list[str]) -> int:
    launch = launched()
    if launch is None:
        return _command(arguments)
    if launch.rank > 0:
        from metacli.commands.follower import beside_the_first

        return beside_the_first()
    try:
        return _command(arguments)
    finally:
        from metacli.distributed import release

        release()


def _command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if arguments[0] == "--version":
        print(f"metacli {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        return _unknown(name)
    if name != "train" and not {"-h", "--help"}.isdisjoint(rest):  # train's own help shows every key
        print(_documentation(name))
        return 0
    code: int = import_module(f"metacli.commands.{name}").run(rest)
    return code


def _documentation(name: str) -> str:
    """The docstring of its module, for 80 columns; read without importing what the command needs."""
    import ast
    import textwrap
    from pathlib import Path

    path = Path(__file__).parent / "commands" / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or name
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        p if p.startswith("    ") else textwrap.fill(p, 80, break_on_hyphens=False) for p in paragraphs
    )


def _unknown(name: str) -> int:
    from metacli.errors import suggest

    print(f"metacli: unknown command {name}\n{suggest(name, COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
