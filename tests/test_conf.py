"""Every configuration composes, is complete, typed and commented."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from neurodecode.cli import conf_folder, sizes
from neurodecode.core.build import check_targets
from neurodecode.core.checks import dataclass_from
from neurodecode.core.stage import load_stage

CONF = conf_folder()
YAMLS = sorted(p.relative_to(CONF).as_posix() for p in CONF.rglob("*.yaml"))
STAGES = sorted(p.stem for p in (CONF / "stage").glob("*.yaml"))
GROUPS = [n for n in YAMLS if "/" in n and not n.startswith(("stage/", "experiment/"))]
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))


def composed(*overrides):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    sizes.register()
    with initialize_config_dir(str(Path(CONF).absolute()), version_base="1.3"):
        config = compose("config", overrides=[*overrides, "name=test"], return_hydra_config=False)
    return OmegaConf.to_container(config, resolve=True)


def check(config):
    """Every stage's node, keys and types included, becomes the configuration of that stage."""
    stages = [load_stage(name) for name in config["stages"]]
    assert stages
    for stage in stages:
        check_targets(config[stage.name], stage.name)
        made = dataclass_from(config[stage.name], stage.config, stage.name)
        assert isinstance(made, stage.config)


def stages_of(name):
    """The stages that an experiment names, or one that it goes on from; None: none does."""
    own = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text())
    begun = [n for n in own.get("defaults", []) if isinstance(n, str) and n != "_self_"]
    return own.get("stages") or next((found for n in begun if (found := stages_of(n))), None)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_fits_its_stages(name):
    config = composed(f"experiment={name}")
    assert config["stages"] == (stages_of(name) or composed()["stages"])
    check(config)


@pytest.mark.parametrize("name", GROUPS)
def test_a_choice_composes_and_fits_its_target(name):
    group, _, choice = name.removesuffix(".yaml").rpartition("/")
    chosen = composed(f"{group}={choice}")
    assert chosen["stages"] == composed()["stages"]
    check(chosen)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_lists_every_key_with_its_default(name):
    config, stage = composed(), load_stage(name)
    fields = {f.name: f for f in dataclasses.fields(stage.config)}
    assert set(config[name]) == set(fields), "the YAML and the dataclass have the same keys"
    for key, field in fields.items():
        given = yaml.safe_load((CONF / "stage" / f"{name}.yaml").read_text()).get(key)
        plain = not isinstance(given, str) or "${" not in given
        if field.default is not dataclasses.MISSING and plain and key in given_keys(name):
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            assert given == default, f"{name}.{key}"


def given_keys(name):
    return yaml.safe_load((CONF / "stage" / f"{name}.yaml").read_text()) or {}


@pytest.mark.parametrize("name", YAMLS)
def test_every_key_is_explained(name):
    lines = (CONF / name).read_text().splitlines()
    if name == "config.yaml":
        lines = lines[: lines.index("hydra:")]
    explained = False
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            explained = not text.startswith("# @package")
        elif ":" in text and not text.startswith(("- ", "_target_", "defaults:")):
            assert "#" in text or explained, f"{name}: {text!r} has no comment"
            explained = explained and "#" not in text


def test_a_misspelt_key_is_refused_by_hydra():
    from hydra.errors import ConfigCompositionException

    with pytest.raises(ConfigCompositionException, match="sede"):
        composed("sede=1")


def test_every_published_number_of_a_stage_depends_on_the_seed_only_through_config():
    config = composed("seed=7")
    seeds = {n: config[n]["seed"] for n in config["stages"] if "seed" in config[n]}
    assert set(seeds.values()) == {7}, seeds


def test_the_seed_and_the_subjects_reach_the_study():
    config = composed("seed=7", "subjects=[sub-02]")
    assert config["simulate"]["study"]["seed"] == 7
    assert config["index"]["recipe"]["subjects"] == ["sub-02"]


def test_the_category_of_the_recipe_reaches_the_embedding():
    assert composed("recipe=world")["embed"]["category"] == "shape"
    assert composed("recipe=bids", "recipe.category=kind")["embed"]["category"] == "kind"


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_name_is_that_of_the_run_folder(name):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(Path(CONF).absolute()), version_base="1.3"):
        hydra = compose("config", overrides=[f"name={name}"], return_hydra_config=True).hydra
    assert hydra.run.dir.startswith(f"runs/{name}/")
    assert hydra.sweep.dir.startswith(f"runs/{name}/sweep_")


@pytest.mark.parametrize("datatype", ["eeg", "meg", "ieeg"])
def test_recipes_of_meeg_ask_for_no_mask_and_no_confounds(datatype):
    recipe = composed(f"recipe=bids_{datatype}", "preprocess=epochs")["index"]["recipe"]
    assert recipe["mask"] is None and recipe["confounds"] is None
    assert recipe["datatype"] == recipe["suffix"] == datatype


def test_patterns_of_a_recipe_can_be_switched_off():
    # Hydra merges {} into the mapping that is there, and so changes nothing; null replaces it
    config = composed("recipe=bids", "recipe.mask=null", "recipe.confounds=null")
    assert config["index"]["recipe"]["mask"] is None
    check(config)
