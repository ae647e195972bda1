"""Components of other people: found by group and name, loaded when used, and each mistake in them told in a line."""

import os
import sys
from importlib.metadata import EntryPoint

import pytest

from metacli.config import extensions
from metacli.config.construct import construct
from metacli.config.extensions import search_folders
from metacli.config.origins import origins, require_origins
from metacli.config.registry import component, names, summary
from metacli.config.schema.backbone import MLP
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.files import digest

DECLARED = '''
"""A network of mine. More of it.

As told."""
from metacli.config.registry import Component
from metacli.config.schema import Backbone, Count

class Settings(Backbone):
    width: Count

class Net:
    def __init__(self, *, width):
        self.width = width

component = Component(f"{__name__}:Net", Settings)
'''.lstrip()


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Make a file in a folder that the user names."""
    monkeypatch.setenv(extensions.VARIABLE, str(tmp_path))

    def make(text, place="backbone/mine.py"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        return path

    return make


@pytest.fixture
def package(monkeypatch):
    """Declare an entry point as an installed package would."""

    def install(name, value="metacli.config.schema.backbone:MLP"):
        entry = EntryPoint(name, value, "metacli")
        monkeypatch.setattr(extensions, "_entries", lambda group: (entry,) if group == "metacli" else ())

    return install


def refusal(name="mine", group="backbone"):
    with pytest.raises(UserError) as caught:
        component(group, name)
    return str(caught.value)


def test_a_file_is_a_component_under_its_name_in_its_group_alone(write):
    write(DECLARED)
    assert "mine" in names("backbone")
    assert "mine" not in names("paradigm")
    mine = component("backbone", "mine")
    assert construct("backbone", mine.schema(name="mine", width=3)).width == 3
    assert summary("backbone", "mine") == "A network of mine. More of it."


@pytest.mark.parametrize(
    "name", ["../mine", "backbone/mine", "mine.py", "../backbone/mine", "metacli_extension.backbone.mine", ""]
)
def test_no_other_word_in_a_config_leads_to_the_file(name, write, composed):
    write(DECLARED)
    write(DECLARED, "mine.py")
    values = composed()
    values["backbone"]["name"] = name
    with pytest.raises(UserError, match=r"backbone\.name=.*: no such backbone\n"):
        validate(values)


def test_a_file_whose_folder_is_not_named_is_not_there(write, monkeypatch):
    write(DECLARED)
    monkeypatch.delenv(extensions.VARIABLE)
    assert "; if it is your own: METACLI_CONFIG_PATH=DIR, with backbone/mine.py in DIR" in refusal()


def test_a_file_is_run_when_it_is_used_and_not_before(write):
    path = write("raise RuntimeError('used')")
    assert "mine" in names("backbone")
    assert component("backbone", "mlp").schema is MLP
    assert refusal().startswith(f"{path}, line 1: RuntimeError: used\n")
    assert "metacli_extension.backbone.mine" not in sys.modules


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import no_such_module",
            ", line 1: ModuleNotFoundError: No module named 'no_such_module'\nmend the file",
        ),
        ("def f():\n    return 1 / 0\n\nf()", ", line 2: ZeroDivisionError: division by zero\nmend the file"),
        ("x = 1\ny = (", ", line 2: SyntaxError: '(' was never closed\nmend the file"),
        ("import sys\nsys.exit('no')", ", line 2: SystemExit: no\nmend the file"),
        ("x = 1", ": it declares no component\nit takes a line such as: component = Component("),
        ("component = 3", ": no Component, but 3\nsee metacli.config.registry.Component"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_place(text, said, write):
    path = write(text)
    told = refusal()
    assert told.startswith(f"{path}{said}")
    assert told.count("\n") == 1


@pytest.mark.parametrize("target", ["mine:Net", "{__name__}:Nett"])
def test_a_class_that_is_not_where_the_declaration_says_is_named(target, write):
    path = write(DECLARED.replace("{__name__}:Net", target))
    settings = component("backbone", "mine").schema(name="mine", width=3)
    with pytest.raises(UserError, match=r"its component names .*:Nett?, but ") as caught:
        construct("backbone", settings)
    assert str(caught.value).startswith(f"{path}: ")
    assert 'f"{__name__}:Class"' in caught.value.hint


def test_a_name_of_metaclis_own_is_refused_wherever_the_group_is_used(write):
    path = write(DECLARED, "backbone/conv4.py")
    said = f"{path}: metacli has a backbone of that name\ngive it another"
    assert refusal("conv4") == refusal("mlp") == said
    assert component("paradigm", "maml")


def test_a_package_and_a_file_may_not_share_a_name(write, package):
    path = write(DECLARED)
    package("backbone.mine")
    assert refusal().startswith(f"{path}: its name is that of backbone.mine of the package ")
    package("backbone.mlp")
    path.unlink()
    assert "metacli has a backbone of that name" in refusal("mlp")


def test_what_a_package_declares_must_be_a_component(package):
    package("backbone.theirs")
    assert ": no Component, but <class 'metacli.config.schema.backbone.MLP'>\n" in refusal("theirs")


def test_of_two_folders_the_first_counts_as_it_does_for_options(write, tmp_path, monkeypatch):
    write(DECLARED, "one/backbone/mine.py")
    write("raise RuntimeError", "two/backbone/mine.py")
    monkeypatch.setenv(extensions.VARIABLE, f"{tmp_path}/one{os.pathsep}{tmp_path}/two")
    assert search_folders()[:2] == [tmp_path / "one", tmp_path / "two"]
    assert component("backbone", "mine")


def test_an_experiment_knows_the_digest_of_the_very_code_that_ran(write, composed):
    path = write(DECLARED)
    values = composed()
    assert origins(values) == {}
    values["backbone"] = {"name": "mine", "width": 3}
    ran = digest(path.read_bytes())
    component("backbone", "mine")
    path.write_text("edited = True")
    assert origins(values) == {"backbone.mine": {"file": str(path), "source": ran}}


def test_the_digest_of_a_package_covers_all_of_its_code(package, composed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "theirs_of_the_digest"
    (folder / "below").mkdir(parents=True)
    for file in ("__init__.py", "below/deep.py"):
        (folder / file).write_text("")
    package("backbone.theirs", "theirs_of_the_digest:NET")
    values = composed()
    values["backbone"]["name"] = "theirs"
    before = origins(values)["backbone.theirs"]["source"]
    assert origins(values)["backbone.theirs"]["source"] == before
    (folder / "below" / "deep.py").write_text("x = 1")
    assert origins(values)["backbone.theirs"]["source"] != before


def test_a_run_whose_code_is_gone_says_where_it_was():
    recorded = {"source": "1234", "paradigm.mine": {"file": "/my folder/paradigm/mine.py", "source": "12"}}
    with pytest.raises(
        UserError, match=r"paradigm=mine: the run took it from /my folder/paradigm/mine.py"
    ) as caught:
        require_origins(recorded)
    assert caught.value.hint == "name its folder: METACLI_CONFIG_PATH='/my folder'"
    recorded["paradigm.mine"] = {"package": "theirs 1.2", "source": "12"}
    with pytest.raises(UserError, match=r"paradigm=mine: the run used the package theirs 1.2") as caught:
        require_origins(recorded)
    assert caught.value.hint.startswith('pip install "theirs==1.2"')
    require_origins({"source": "1234"})
