"""The flags that may stand anywhere among the overrides of `metacli train`: those of Hydra's that make sense here."""

from collections.abc import Sequence

from metacli.errors import UserError, suggest
from metacli.letters import brief

_ALONE = ("-m", "--multirun", "-h", "--help", "--hydra-help", "--resolve")
_WITH_VALUE = ("-c", "--cfg", "-p", "--package", "-cd", "--config-dir", "-cn", "--config-name")
_CFG = ("job", "hydra", "all")
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_CHOICES = {"-c": _CFG, "--cfg": _CFG, "--info": _INFO}
_HELP = "see: metacli train --hydra-help"


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Flags, then overrides: Hydra's parser gives up at an override that follows a flag which follows another.

    Raises UserError at a flag that is none of these, or without its value, where that parser would print its own page
    of usage.
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
        elif name in _ALONE and not equals:
            flags.append(name)
        elif name in _WITH_VALUE:
            flags += [name, _checked(name, value if equals else next(iter(rest), ""))]
            rest = rest if equals else rest[1:]
        elif name == "--info":
            if not equals:
                value = rest.pop(0) if rest and rest[0] in _INFO else _INFO[0]
            flags.append(f"--info={_checked(name, value)}")
        else:
            following = next((text for text in rest[:1] if "=" not in text), "VALUE")
            key, value = brief(name.lstrip("-")), brief(value or following)
            raise UserError(
                f"{brief(argument)}: no such flag",
                f"an override has no dashes: {key}={value}; for flags see: metacli train --hydra-help",
            )
    return flags + overrides


def _checked(name: str, value: str) -> str:
    if not value or value.startswith("-"):
        raise UserError(f"{name}: a value must follow", _HELP)
    if value not in _CHOICES.get(name, (value,)):
        raise UserError(f"{name} {brief(value)}: no such choice", suggest(value, _CHOICES[name]))
    return value
