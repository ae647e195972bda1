"""Hydra's and OmegaConf's exceptions -> UserError with the key, the value and a suggestion."""

import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from yaml import MarkedYAMLError, YAMLError

from metacli.config.compose import option_files
from metacli.config.registry import INSIDE, component, components, groups
from metacli.errors import UserError, suggest
from metacli.letters import brief

_HELP = "see: metacli train --help"


def translated(error: BaseException) -> UserError | None:
    """None where the error is no mistake of the user's."""
    causes = list(_chain(error))
    if any(isinstance(cause, UnicodeDecodeError) for cause in causes) and (told := _not_unicode()):
        return told
    for cause in causes:
        if isinstance(cause, MissingConfigException):
            return _missing_option(cause)
        if isinstance(cause, OverrideParseException):
            return UserError(
                f"cannot read {brief(cause.override) or 'an empty word'}",
                "an override is group=option, key=value or key=[a,b]; other signs need quotes: 'key=\"~/my photos\"'",
            )
        if isinstance(cause, MissingMandatoryValue):
            return _mandatory(cause)
        if isinstance(cause, MarkedYAMLError):
            return _yaml(cause)
        if isinstance(cause, YAMLError):
            return UserError(f"a YAML file: {_first_line(cause)}", "mend the file")
    for cause in causes:
        if isinstance(cause, ConfigKeyError | OmegaConfBaseException) and (
            told := _omegaconf(cause, str(error))
        ):
            return told
    for cause in causes:
        if told := _of_hydra(_first_line(cause)):
            return told
    of_theirs = isinstance(error, HydraException | OmegaConfBaseException)
    return UserError(brief(_first_line(error)), _HELP) if of_theirs else None


def _missing_option(error: MissingConfigException) -> UserError:
    wanted = str(error.missing_cfg_file or "")
    group, slash, option = wanted.rpartition("/") if wanted.startswith("hydra/") else wanted.partition("/")
    if not slash:
        return UserError(f"no config {wanted}", suggest(wanted, error.options or ()))
    options = option_files().get(group) or [name for name in error.options or () if name]
    return UserError(f"{group}={option}: no such option", suggest(option, options))


def _of_hydra(first: str) -> UserError | None:
    """first: line of what it said."""
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '((.+)=(.+))'", first):
        text, key, values = match.groups()
        return UserError(
            f"{text}: several values", f"a sweep: metacli sweep {text}; a list: {key}=[{values}]"
        )
    if "INTERVAL_SWEEP" in first:
        return UserError(
            "interval(...): there is no end of values between two",
            "name them: KEY=A,B or KEY=range(FROM,TO,STEP)",
        )
    if match := re.match(r"Could not override '([^']+)'", first):
        return UserError(f"no config group {match.group(1)}", suggest(match.group(1), option_files()))
    if match := re.match(r"Multiple values for ([^.]+)\.", first):
        return UserError(
            f"+{match.group(1)}: an option is chosen already", "leave the + out to choose another"
        )
    if match := re.match(r"cannot compose (.*): ValueError: Config group override must be a string", first):
        numbers = [text for text in match.group(1).split() if _is_group_without_word(text)]
        return UserError(
            f"{brief(' '.join(numbers) or match.group(1))}: a config group was given a number or null",
            "it takes the name of an option: metacli list",
        )
    return None


def _not_unicode() -> UserError | None:
    """The option's file that cannot be read."""
    for path in (path for options in option_files().values() for path in options.values()):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            return UserError(f"{path}: {brief(error)}", "mend the file")
    return None


def _is_group_without_word(override: str) -> bool:
    group, _, value = override.lstrip("+").partition("=")
    return group in option_files() and bool(re.fullmatch(r"null|true|false|[-+.\d].*", value, re.IGNORECASE))


def _mandatory(error: MissingMandatoryValue) -> UserError:
    key = getattr(error, "full_key", None) or re.sub(r".*: ", "", _first_line(error))
    return UserError(f"{key} must be given", f"{key}=VALUE")


def _yaml(error: MarkedYAMLError) -> UserError:
    mark = error.problem_mark or error.context_mark
    where = f"{mark.name}, line {mark.line + 1}" if mark else "a YAML file"
    return UserError(f"{where}: {error.problem or error.context or 'no YAML'}", "mend the file")


def _omegaconf(error: OmegaConfBaseException, outer: str) -> UserError | None:
    key = str(error.full_key or error.key or "")
    if isinstance(error, InterpolationKeyError | InterpolationResolutionError):
        where = f"{key}: " if key else ""
        return UserError(where + _first_line(error), "name an existing key, or quote ${...}")
    node = error.parent_node
    if "not in struct" in str(error) or isinstance(error, ConfigKeyError):
        known = [str(k) for k in node if k != "hydra"] if node is not None and hasattr(node, "keys") else []
        group, _, option = key.partition(".")
        if option in option_files().get(group, ()):
            return UserError(f"unknown key {key}", f"to choose the option: {group}={option}")
        place, _, last = key.rpartition(".")
        name = node.get("name") if isinstance(node, DictConfig) else None
        if name and (way_out := _by_design(place, name, last)):
            return UserError(f"unknown key {key}: {name} has none, by design", way_out)
        others = _of_others(group, option)
        if others and isinstance(node, DictConfig) and "name" in node:
            return UserError(
                f"unknown key {key}: {group} {node.name} has none",
                f"it is one of {', '.join(others)}; known here: {', '.join(sorted(known))}",
            )
        return UserError(f"unknown key {key}", suggest(key.rpartition(".")[2], known))
    if match := re.search(r"Could not override '([^']+)'", outer):
        return UserError(f"cannot set {match.group(1)}", _first_line(error))
    is_ours = key and "[" not in key  # not a place in some list of Hydra's
    return UserError(f"{key}: {_first_line(error)}", _HELP) if is_ours else None


def _by_design(place: str, name: str, key: str) -> str:
    """What to do instead of setting a key that a component lacks by design; "" of any other key."""
    group = INSIDE.get(place, place)
    if group not in groups():
        return ""
    return component(group, name).schema.without.get(key, "").format(place=place)


def _of_others(group: str, key: str) -> list[str]:
    """The components of a group that have a key."""
    if group not in groups():
        return []
    return [name for name, entry in components(group).items() if key in entry.schema.model_fields]


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
