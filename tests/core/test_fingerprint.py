"""What counts as the code of a stage, found without importing it."""

import subprocess
import sys

from neurodecode.core.fingerprint import _digest_and_imports, fingerprint, moved
from neurodecode.core.runner import Pipeline, Store


def test_lazy_imports_and_targets_count_and_plumbing_does_not():
    modules = fingerprint("neurodecode.stages.train", ["neurodecode.align.ridge.RidgeAligner"])
    assert {"neurodecode.contrastive.loop", "neurodecode.align.ridge"} <= modules.keys()
    assert "neurodecode.core.seeds" in modules and "neurodecode.core.store" not in modules
    assert "neurodecode" not in modules, "a new version number recomputes nothing"


def test_nothing_heavy_is_imported_to_know_it():
    code = (
        "import sys; from neurodecode.core.fingerprint import fingerprint\n"
        "fingerprint('neurodecode.stages.reconstruct', "
        "['neurodecode.diffusion.generator.TokenGenerator'])\n"
        "sys.exit('diffusers' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_comments_docstrings_and_layout_do_not_count(tmp_path):
    plain, dressed, other = (tmp_path / f"{n}.py" for n in ("plain", "dressed", "other"))
    plain.write_text("def f(x):\n    return x + 1\n")
    dressed.write_text('"""Doc."""\n# why\ndef f( x ):\n    """Doc."""\n\n    return (x+1)\n')
    other.write_text("def f(x):\n    return x + 2\n")
    digest = lambda p: _digest_and_imports(p, 0)[0]
    assert digest(plain) == digest(dressed) != digest(other)


def test_the_module_that_moved_is_named():
    assert moved({"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "1"}) == ["b", "c"]


def test_readers_chosen_by_a_file_s_ending_count():
    readers = {f"neurodecode.data.readers.{name}" for name in ("bold", "cifti", "gifti", "meeg")}
    for target in (
        "neurodecode.preprocess.bold.SingleTrials",
        "neurodecode.data.layouts.bids.Bids",
    ):
        assert readers <= fingerprint("neurodecode.stages.preprocess", [target]).keys()


def test_a_choice_that_nobody_wrote_down_counts(tmp_path):
    config = {"stages": ["index"], "index": {"recipe": {"root": str(tmp_path)}}}
    pipeline = Pipeline(config, Store.looked_at(tmp_path / "store"), {"device": "cpu"})
    assert "neurodecode.data.layouts.bids" in pipeline.code["index"]
