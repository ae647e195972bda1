"""python -m metacli: the `metacli` command, where that is not on the PATH."""

from metacli.cli import main

if __name__ == "__main__":
    main()
