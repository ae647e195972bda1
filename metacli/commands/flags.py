"""The flags that may stand anywhere among the overrides of `metacli train`: those of Hydra's that make sense here."""

from collections.abc import Sequence

from metacli.errors import UserError

_ALONE = ("-m", "--multirun", "-h", "--help", "--hydra-help", "--resolve", "--info")
_WITH_VALUE = ("-c", "--cfg", "-p", "--package", "-cd", "--config-dir", "-cn", "--config-name")
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Flags, then overrides: Hydra's parser gives up at an override that follows a flag which follows another.

    Raises UserError at a flag that is none of these, where that parser would print its own page of usage.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        name, equals, value = argument.partition("=")
        if name in _WITH_VALUE and not equals:
            if not rest:
                raise UserError(f"{name}: a value must follow", "see: metacli train --hydra-help")
            flags.append(rest.pop(0))
        elif name == "--info" and rest and rest[0] in _INFO:
            flags.append(rest.pop(0))
        elif name not in (*_ALONE, *_WITH_VALUE):
            key, value = name.lstrip("-"), value or next(iter(rest), "VALUE")
            raise UserError(
                f"{argument}: no such flag",
                f"an override has no dashes: {key}={value}; for flags see: metacli train --hydra-help",
            )
    return flags + overrides
