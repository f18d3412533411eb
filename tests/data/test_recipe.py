import dataclasses

import pytest

from neurodecode.data import recipe


def test_facts_are_read_by_name_and_an_unknown_name_lists_the_known(tmp_path, monkeypatch):
    (tmp_path / "pictures2020.yaml").write_text("licence: CC0-1.0\nTR_s: 1.6\n")
    monkeypatch.setattr(recipe, "facts_folder", lambda: tmp_path)
    assert recipe.facts("pictures2020") == {"licence": "CC0-1.0", "TR_s": 1.6}
    with pytest.raises(FileNotFoundError, match="pictures2020"):
        recipe.facts("pictures2021")


def test_where_a_study_lies_is_not_part_of_what_it_is():
    unkeyed = {
        f.name for f in dataclasses.fields(recipe.Recipe) if not f.metadata.get("keyed", True)
    }
    assert {"root", "derivatives"} <= unkeyed
