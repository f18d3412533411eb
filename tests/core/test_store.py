"""An artifact is whole or absent, and its bytes are what was written."""

import json

import numpy as np
import pandas as pd
import pytest

from neurodecode.core.errors import DamagedArtifact, UserError
from neurodecode.core.key import canonical, digest
from neurodecode.core.seeds import child_rng, child_seed
from neurodecode.core.store import RawDigests, Store
from neurodecode.core.views import Folder, read_table

CODE = digest({})


def publish(store, key="k" * 64, **files):
    scratch = store.scratch()
    for name, text in files.items():
        path = scratch / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    manifest = {"stage": "stage", "key": key, "code": {}}
    return store.publish(scratch, store.folder("stage", key, CODE), manifest)


def test_what_is_published_is_found_whole(store):
    made = publish(store, a="1", b__c="2")
    found = store.find("stage", "k" * 64, CODE)
    assert found.files.keys() == {"a", "b/c"}
    assert found.path("b/c").read_text() == "2" and found.path("b").is_dir()
    assert made.digest() == found.digest()


def test_the_first_rename_wins(store):
    publish(store, a="first")
    assert publish(store, a="second").path("a").read_text() == "first"
    assert not list((store.root / "scratch").iterdir())


def test_a_digest_sees_only_the_files_it_is_asked_for(store):
    one = publish(store, "1" * 64, x__a="1", y__a="1")
    two = publish(store, "2" * 64, x__a="1", y__a="2")
    assert one.digest("x/*") == two.digest("x/*") and one.digest() != two.digest()
    with pytest.raises(UserError, match="holds no file 'z"):
        one.digest("z/*")


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_text("12")])
def test_what_is_not_whole_is_absent(store, damage):
    made = publish(store, a="1")
    damage(made.folder / "a")
    assert store.find("stage", "k" * 64, CODE) is None
    assert made.folder.exists()  # whoever looks may be mistaken: who computes it anew clears it


def test_one_flipped_bit_is_noticed_when_the_file_is_read(store):
    made = publish(store, a="1")
    (made.folder / "a").write_bytes(bytes([ord("1") ^ 1]))
    with pytest.raises(DamagedArtifact, match="a is damaged"):
        made.path("a")


def test_an_unknown_file_lists_the_known_ones(store):
    with pytest.raises(FileNotFoundError, match="it has a, b"):
        publish(store, a="1", b="2").path("c")


def test_a_manifest_further_down_is_a_file_like_any_other(store):
    assert "d/manifest.json" in publish(store, **{"d__manifest.json": "{}"}).files


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write in the store"):
        Store(tmp_path / "file")


def test_raw_digests_follow_the_bytes_not_the_place(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x").write_text("1")
    raw = RawDigests(tmp_path / "digests.json")
    assert raw.of([tmp_path / "here"]) == raw.of([tmp_path / "there"])
    (tmp_path / "here" / "sub" / "x").write_text("22")
    assert RawDigests(tmp_path / "digests.json").of([tmp_path / "here"]) != raw.of(
        [tmp_path / "there"]
    )


def test_equal_objects_have_one_canonical_text():
    assert canonical({"b": (1, 2), "a": 0.1}) == canonical({"a": 0.1, "b": [1, 2]})
    assert digest({"a": 1}) != digest({"a": 1.5})
    with pytest.raises(ValueError):
        canonical({"a": float("nan")})


def test_child_seeds_depend_on_every_name_and_on_nothing_else():
    seeds = {child_seed(s, *n) for s in (0, 1) for n in (("a",), ("b",), ("a", "b"), ("ab",))}
    assert len(seeds) == 8 and all(0 <= s < 2**63 for s in seeds)
    assert child_rng(3, "x").random() == child_rng(3, "x").random()


def test_tables_come_back_as_they_were(tmp_path):
    out = Folder(tmp_path, None)
    table = pd.DataFrame(
        {
            "trial_id": ["1", "02"],
            "run": ["01", "02"],
            "caption": ["a disc", ""],
            "onset_s": [0.1, 2],
        }
    )
    for name in ("t.tsv", "t.parquet"):
        out.save_table(name, table)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table, check_dtype=False)


def test_json_and_tensors_are_written_bit_for_bit(tmp_path):
    out = Folder(tmp_path, None)
    out.save_json("a.json", {"x": np.float64(0.1), "n": np.arange(2)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 0.1, "n": [0, 1]}
    out.save_tensors("b.safetensors", {"z": np.eye(2).T, "a": np.arange(3)})
    first = (tmp_path / "b.safetensors").read_bytes()
    out.save_tensors("b.safetensors", {"a": np.arange(3), "z": np.eye(2)})
    assert (tmp_path / "b.safetensors").read_bytes() == first
