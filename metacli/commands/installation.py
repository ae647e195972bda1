"""What `metacli doctor` looks at in the installation: packages, extras, configs, other packages' additions, numbers."""

import platform
from importlib.metadata import EntryPoint, PackageNotFoundError, distributions, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from metacli import __version__
from metacli.commands.findings import Findings, Problem
from metacli.errors import UserError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def packages() -> Findings:
    """Whether they are there, in versions that metacli works with."""
    yield f"metacli {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    needed = {requirement.name: requirement for requirement in _needed_for("")}
    found = {name: _version(name) for name in needed}
    yield ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())
    for name, requirement in needed.items():
        number = found[name]
        if number is None or not requirement.specifier.contains(number, prereleases=True):
            what = f"{name} {number}" if number else f"no {name}"
            yield Problem(f"{what}: metacli needs {requirement}", f'pip install "{requirement}"')


def extras() -> Findings:
    for extra in metadata("metacli").get_all("Provides-Extra") or ():
        missing = [needed.name for needed in _needed_for(extra) if _version(needed.name) is None]
        how = f'{", ".join(missing)} not installed: pip install "metacli[{extra}]"'
        yield f"{extra}: {how if missing else 'installed'}"


def configs() -> Findings:
    """Those that come with metacli have tests; of the others every option is composed."""
    from metacli.config.compose import config_folder, option_files
    from metacli.config.extensions import search_folders

    files = [
        (group, option, path) for group, options in option_files().items() for option, path in options.items()
    ]
    yield f"{len(files)} options in {', '.join(map(str, (config_folder(), *search_folders())))}"
    yield from _composed("the default experiment", [])
    for group, option, path in files:
        if not path.is_relative_to(config_folder()):
            yield from _composed(str(path), [f"{group}={option}"])


def extensions() -> Findings:
    """What other packages add: components, and folders of options."""
    found = [
        (package.name, entry)
        for package in distributions()
        for entry in package.entry_points
        if entry.group.partition(".")[0] == "metacli"
    ]
    if not found:
        yield "none"
    for package, entry in found:
        try:
            yield f"{entry.name} of {package}: {_added(entry)}"
        except (Exception, SystemExit) as error:
            what = f"{entry.group} {entry.name} = {entry.value} of {package}: {_first_line(error)}"
            yield Problem(what, f"pip install --upgrade {package}, or uninstall it")


def numbers() -> Findings:
    """A second-order gradient through weights of each task, against finite differences."""
    import torch
    from torch.autograd import gradgradcheck
    from torch.func import functional_call

    from metacli.layers import Conv2d

    layer = Conv2d(2, 2, kernel=3, stride=2, padding=1, bias=False)
    random = torch.Generator().manual_seed(0)
    images = torch.randn(2, 2, 4, 4, 2, dtype=torch.float64, generator=random)
    weights = torch.randn(2, 2, 3, 3, 2, dtype=torch.float64, generator=random)
    gradgradcheck(lambda w: functional_call(layer, {"weight": w}, (images,)).tanh(), weights.requires_grad_())
    yield "second-order gradients are right"


def _needed_for(extra: str) -> list["Requirement"]:
    """Without an extra those that are always needed; with one those that it adds."""
    from packaging.requirements import Requirement

    every = [Requirement(text) for text in requires("metacli") or ()]
    always = [needed for needed in every if needed.marker is None or needed.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [
        needed
        for needed in every
        if needed not in always and needed.marker and needed.marker.evaluate({"extra": extra})
    ]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _composed(what: str, overrides: list[str]) -> Findings:
    from omegaconf.errors import MissingMandatoryValue

    from metacli.config.compose import composed, values_of
    from metacli.config.translate import translated
    from metacli.config.validate import validate

    try:
        validate(values_of(composed(overrides)[0]))
    except MissingMandatoryValue:  # to be given on the command line
        return
    except Exception as error:
        told = error if isinstance(error, UserError) else translated(error)
        if told is None:
            raise
        yield Problem(told.problem if what in told.problem else f"{what}: {told.problem}", told.hint)


def _added(entry: EntryPoint) -> str:
    """Load what an entry point names, and what that names in turn."""
    from metacli.config.registry import Component, load

    found = entry.load()
    if entry.group == "metacli.configs":
        if not Path(str(found)).is_dir():
            raise UserError(f"no such folder: {found}")
        return str(found)
    if isinstance(found, Component):
        load(found.target)
        return found.target
    return entry.value


def _first_line(error: BaseException) -> str:
    first = next(iter(str(error).splitlines()), "")
    return first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"
