"""A fabricated study, and its report, made once for all tests of the room."""

import pytest

from neurodecode.core.views import Folder, View
from neurodecode.stages.report import ReportConfig, run
from tests.report.study import fabricate


def draw(folder, artifacts, records, **config):
    """Run the stage on fabricated artifacts; return the folder of its outputs."""
    folder.mkdir()
    view = View(run, artifacts, None, records, {"preprocess": ("responses.npy",)})
    run(ReportConfig(**config), view, Folder(folder, None))
    return folder


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """``artifacts, records`` of a finished study of two subjects."""
    return fabricate(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def audited(tmp_path_factory):
    """``artifacts, records`` of a study that was audited, with every control and a leak."""
    return fabricate(tmp_path_factory.mktemp("audited"), audited=True)


@pytest.fixture(scope="session")
def audited_report(audited, tmp_path_factory):
    """The folder of its report."""
    return draw(tmp_path_factory.mktemp("audited_report") / "out", *audited)


@pytest.fixture(scope="session")
def view(study):
    """What the stage sees of it."""
    return View(run, study[0], None, study[1], {"preprocess": ("responses.npy",)})


@pytest.fixture(scope="session")
def report(study, tmp_path_factory):
    """The folder of its report."""
    return draw(tmp_path_factory.mktemp("report") / "out", *study)
