"""One file a sub-command, each with `run(arguments) -> exit code`."""
