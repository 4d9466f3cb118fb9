"""All layers together: precedence, provenance, paths and errors."""

import dataclasses
import json
from pathlib import Path

import pytest

from builders.configs import TINY_TOML, write_experiment
from transformer_playground.config.loading import LoadedConfig, load_config
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import ConfigError

TRAIN = "ML_PLAYGROUND_TRAIN_OVERRIDES"
SAMPLE = "ML_PLAYGROUND_SAMPLE_OVERRIDES"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    (folder / "experiments").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def _load(
    project: Path,
    text: str,
    *overrides: str,
    environ: dict[str, str] | None = None,
    defaults: str | None = None,
) -> LoadedConfig:
    folder = write_experiment(project / "experiments", "x", text)
    defaults_path = None
    if defaults is not None:
        defaults_path = project / "experiments" / "default_config.toml"
        defaults_path.write_text(defaults, encoding="utf-8")
    return load_config(
        folder / "config.toml",
        defaults=defaults_path,
        overrides=overrides,
        environ=environ or {},
        project=project,
    )


def _refusal(
    project: Path, text: str, *overrides: str, environ: dict[str, str] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(project, text, *overrides, environ=environ)
    assert caught.value.exit_code == 2
    return caught.value.message


def test_an_empty_file_gives_the_schema_defaults(project: Path) -> None:
    loaded = _load(project, "")
    assert loaded.config.model == ExperimentConfig().model
    assert loaded.provenance == {}


def test_a_loaded_configuration_cannot_be_changed_by_those_who_share_it(project: Path) -> None:
    loaded = _load(project, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.path = Path()  # type: ignore[misc]


def test_later_layers_win_and_each_value_names_its_layer(project: Path) -> None:
    loaded = _load(
        project,
        "[train.runtime]\nmax_iters = 20\nlog_interval = 2\n[train.schedule]\nwarmup_iters = 0",
        "train.runtime.eval_iters=44",
        environ={TRAIN: '{"runtime": {"log_interval": 33, "eval_iters": 33}}'},
        defaults="[train.runtime]\nmax_iters = 1\nlog_interval = 1\neval_iters = 1\nseed = 1\n",
    )
    runtime = loaded.config.train.runtime
    assert (runtime.seed, runtime.max_iters) == (1, 20)
    assert (runtime.log_interval, runtime.eval_iters) == (33, 44)
    assert loaded.provenance == {
        "train.runtime.seed": "experiments/default_config.toml",
        "train.runtime.max_iters": "experiments/x/config.toml",
        "train.schedule.warmup_iters": "experiments/x/config.toml",
        "train.runtime.log_interval": TRAIN,
        "train.runtime.eval_iters": "--set",
    }


def test_a_value_equal_to_the_default_has_no_provenance(project: Path) -> None:
    loaded = _load(project, '[model]\nn_layer = 4\n[prepare]\nraw_dir = "raw"\n')
    assert loaded.provenance == {}


def test_a_later_flag_wins_over_an_earlier_one(project: Path) -> None:
    loaded = _load(project, "", "model.n_layer=5", "model.n_layer=6")
    assert loaded.config.model.n_layer == 6


def test_set_can_unset_what_the_file_sets(project: Path) -> None:
    loaded = _load(project, "[model]\nn_kv_head = 2\n", "model.n_kv_head=none")
    assert loaded.config.model.n_kv_head is None


def test_a_json_null_also_unsets_a_value(project: Path) -> None:
    loaded = _load(
        project, "[train.data]\nblock_size = 8\n", environ={TRAIN: '{"data": {"block_size": null}}'}
    )
    assert loaded.config.train.data.block_size is None


def test_a_dumped_configuration_validates_to_an_equal_one(project: Path) -> None:
    download = '[prepare.downloads."a b"]\nurl = "https://example.org/a"\nfile = "a.txt"\nsha256 = '
    text = f'{TINY_TOML}\n{download}"{"0" * 64}"\n'
    config = _load(project, text, 'experiment.tags=["a", "ä"]').config
    again = ExperimentConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json"))))
    assert again == config


def test_relative_paths_are_relative_to_their_source(project: Path) -> None:
    (project / "elsewhere").mkdir()
    home = project / "experiments" / "x"
    stated = _load(project, '[prepare]\nraw_dir = "../shared"\n').config.prepare
    assert stated.raw_dir == project / "experiments" / "shared"
    assert stated.dataset_dir == home / "datasets"
    flagged = _load(project, "", "prepare.raw_dir=elsewhere").config.prepare
    assert flagged.raw_dir == project / "elsewhere"


def test_relative_paths_of_the_defaults_file_are_relative_to_each_experiment(project: Path) -> None:
    config = _load(project, "", defaults='[prepare]\nraw_dir = "texts"\n').config
    assert config.prepare.raw_dir == project / "experiments" / "x" / "texts"


def test_paths_in_a_config_file_elsewhere_are_relative_to_that_file(
    project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = elsewhere / "other.toml"
    path.write_text('[prepare]\nraw_dir = "texts"\n')
    home = project / "experiments" / "x"
    home.mkdir()
    prepare = load_config(path, home=home, project=project).config.prepare
    assert prepare.raw_dir == elsewhere / "texts"
    assert prepare.dataset_dir == home / "datasets"


@pytest.mark.parametrize("path", ["../../../out", "a/../../../../out"])
def test_a_relative_path_may_not_leave_the_project(project: Path, path: str) -> None:
    message = _refusal(project, f'[prepare]\nraw_dir = "{path}"\n')
    assert (
        f'experiments/x/config.toml: prepare.raw_dir = "{path}" is outside the project '
        f"({project.resolve()}); use an absolute path" in message
    )


def test_a_link_to_outside_the_project_counts_as_leaving(project: Path, tmp_path: Path) -> None:
    home = write_experiment(project / "experiments", "x", "")
    (home / "raw").symlink_to(tmp_path, target_is_directory=True)
    assert "is outside the project" in _refusal(project, "")


def test_an_absolute_path_may_be_anywhere(project: Path, tmp_path: Path) -> None:
    config = _load(project, f'[prepare]\nraw_dir = "{tmp_path / "out"}"\n').config
    assert config.prepare.raw_dir == tmp_path / "out"


def test_a_home_folder_is_absolute(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (
        _load(project, "", "prepare.raw_dir=~/texts").config.prepare.raw_dir == tmp_path / "texts"
    )
    assert "unknown home folder" in _refusal(project, "", "prepare.raw_dir=~no-such-user-here/x")


@pytest.mark.parametrize("path", ["", "a\\u0000b"])
def test_text_that_is_not_a_path_is_rejected(project: Path, path: str) -> None:
    assert "is not a path" in _refusal(project, f'[prepare]\nraw_dir = "{path}"\n')


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (
            "[model]\nn_layr = 3\n",
            [],
            "experiments/x/config.toml: unknown key model.n_layr = 3; did you mean model.n_layer",
        ),
        ("", ["learning_rate=1"], "--set: unknown key learning_rate = 1; did you mean train.optim"),
        ("", ["train.optm.beta1=1"], "--set: unknown table [train.optm]; did you mean train.optim"),
        ("[trian]\n", [], "unknown table [trian]; did you mean train?"),
        ("[zzz]\n", [], "the top level has experiment, prepare, model, train, sample"),
        ("", ["sample.qqqq=1"], "unknown key sample.qqqq = 1; [sample] has runtime, sample."),
        (
            '[model]\nn_layer = "four"\n',
            [],
            'config.toml: model.n_layer = "four" must be a whole number, at least 1, at most 1000. '
            "Number of transformer blocks.",
        ),
        ("[model]\nn_layer = true\n", [], "model.n_layer = true must be a whole number"),
        ("[model]\nn_layer = 2.0\n", [], "model.n_layer = 2.0 must be a whole number"),
        ("[model]\nbias = 1\n", [], "model.bias = 1 must be true or false"),
        ("[model]\ndropout = 1.5\n", [], "= 1.5 must be a number, at least 0, less than 1."),
        ("", ["model.norm=rmsnrm"], '"layernorm", "rmsnorm"; did you mean "rmsnorm"?'),
        ("", ["model.norm=none"], 'model.norm = "none" must be one of "layernorm", "rmsnorm"'),
        (
            "",
            ["experiment.description=42"],
            "text in quotes: --set 'experiment.description=\"42\"'",
        ),
        ("[prepare]\nraw_dir = 3\n", [], "prepare.raw_dir = 3 must be a path"),
        ('[experiment]\ntags = ["a", 3]\n', [], "experiment.tags, item 2, = 3 must be text"),
        ('[experiment]\ntags = "a"\n', [], 'experiment.tags = "a" must be a list of texts'),
        ("[train]\noptim = 3\n", [], "train.optim = 3 must be a table: write [train.optim]"),
        ("[model]\nn_layer = 2020-01-01\n", [], "model.n_layer = 2020-01-01 is a date or time"),
        ("[model]\nn_layer = 07:30:00\n", [], "is a date or time"),
        ("[model]\nn_embd = 99999999999999999999\n", [], "must fit in 64 bits"),
        ("[model]\nnorm_eps = nan\n", [], "model.norm_eps = nan is not a finite number"),
        ("[model]\nnorm_eps = 1e999\n", [], "is not a finite number"),
        ("", ["experiment.description=\udcff"], "not valid Unicode"),
        (
            '[prepare.downloads.x]\nurl = "ftp://x"\n',
            [],
            'prepare.downloads.x.url = "ftp://x" must be text, matching',
        ),
        ("[prepare.downloads.x]\n", [], "prepare.downloads.x.sha256 is missing: text, matching"),
        ("[prepare]\ndownloads = 3\n", [], "prepare.downloads = 3 must be a table"),
    ],
)
def test_each_error_names_the_place_the_problem_and_the_fix(
    project: Path, text: str, flags: list[str], message: str
) -> None:
    assert message in _refusal(project, text, *flags)


def test_all_errors_are_reported_at_once_one_line_each(project: Path) -> None:
    message = _refusal(
        project,
        "[model]\nn_layr = 3\nnorm_eps = inf\n[train.runtime]\nseed = -1\n",
        "sample.sample.top_p=2",
        environ={SAMPLE: '{"sample": {"top_k": "many"}}'},
    )
    first, *rest = message.strip().splitlines()
    assert first == "5 problems in the configuration:"
    assert len(rest) == 5
    starts = sorted(line.removeprefix("  - ").split(":")[0] for line in rest)
    assert starts == ["--set", SAMPLE, *["experiments/x/config.toml"] * 3]


def test_one_error_is_not_called_several(project: Path) -> None:
    message = _refusal(project, "[model]\nn_layr = 3\n")
    assert message.startswith("experiments/x/config.toml: unknown key model.n_layr")
    assert "problems" not in message
    two = _refusal(project, "[model]\nn_layr = 3\nn_hed = 3\n")
    assert two.startswith("2 problems in the configuration:\n  - experiments/x/config.toml: ")


def test_an_impossible_combination_names_where_each_part_was_set(project: Path) -> None:
    message = _refusal(project, "[model]\nn_embd = 130\n")
    assert "n_embd = 130 is not divisible by n_head = 4" in message
    assert "(model.n_embd: experiments/x/config.toml; model.n_head: default)" in message
    assert "model.n_head: --set" in _refusal(project, "[model]\nn_embd = 10\n", "model.n_head=3")


def test_a_rejected_value_causes_no_further_conflict_message(project: Path) -> None:
    message = _refusal(project, "[model]\nn_embd = 2020-01-01\nn_head = 3\n")
    assert "divisible" not in message


def test_long_values_are_cut(project: Path) -> None:
    assert len(_refusal(project, f'[model]\nnorm = "{"x" * 5000}"\n')) < 300


def test_the_hint_names_the_list_of_settings(project: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(project, "x = 1\n", defaults="")
    assert "experiments/default_config.toml" in caught.value.hint


def test_a_broken_defaults_file_is_named(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"experiments/default_config\.toml, line 1"):
        _load(project, "", defaults="= 3")


def test_a_prompt_file_is_relative_to_its_config_file(project: Path) -> None:
    loaded = _load(project, '[sample.sample]\nstart = "FILE:prompt.txt"\n')
    expected = project / "experiments" / "x" / "prompt.txt"
    assert loaded.config.sample.sample.start == f"FILE:{expected}"
    assert loaded.provenance == {"sample.sample.start": "experiments/x/config.toml"}


def test_a_prompt_file_of_a_flag_or_the_environment_is_relative_to_the_current_folder(
    project: Path,
) -> None:
    by_flag = _load(project, "", 'sample.sample.start="FILE:prompt.txt"')
    by_variable = _load(project, "", environ={SAMPLE: '{"sample": {"start": "FILE:prompt.txt"}}'})
    for loaded in (by_flag, by_variable):
        assert loaded.config.sample.sample.start == f"FILE:{project / 'prompt.txt'}"


def test_a_prompt_that_is_text_stays_as_it_is(project: Path) -> None:
    loaded = _load(project, '[sample.sample]\nstart = "see FILE:../../../x"\n')
    assert loaded.config.sample.sample.start == "see FILE:../../../x"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "is not a path"),
        ("../../../secret.txt", "is outside the project"),
        ("~nobody-of-this-name/x", "home folder"),
    ],
)
def test_an_invalid_prompt_file_is_rejected(project: Path, value: str, expected: str) -> None:
    message = _refusal(project, f'[sample.sample]\nstart = "FILE:{value}"\n')
    assert "sample.sample.start" in message
    assert expected in message


@pytest.mark.parametrize(
    ("override", "limit"),
    [
        ("model.n_layer=1001", "at most 1000"),
        ("model.n_embd=65540", "at most 65536"),
        ("model.block_size=16777217", "at most 16777216"),
        ("train.data.batch_size=1000001", "at most 1000000"),
        ("train.runtime.threads=1025", "at most 1024"),
        ("sample.sample.num_samples=10001", "at most 10000"),
    ],
)
def test_an_absurd_size_is_rejected_with_the_limit(
    project: Path, override: str, limit: str
) -> None:
    message = _refusal(project, "", override)
    assert override.split("=", maxsplit=1)[0] in message
    assert limit in message


def test_markers_and_one_document_per_line_exclude_each_other(project: Path) -> None:
    text = '[prepare]\ndocuments = "lines"\nadd_structure_tokens = true\n'
    message = _refusal(project, text)
    assert "documents = 'files'" in message
    assert "prepare.add_structure_tokens: experiments/x/config.toml" in message


def test_a_coverage_that_sentencepiece_does_not_accept_is_rejected(project: Path) -> None:
    assert "at least 0.98" in _refusal(project, "", "prepare.character_coverage=0.9")


def test_evaluation_windows_are_stated_or_follow_from_the_older_setting(project: Path) -> None:
    def windows(*overrides: str) -> int:
        return _load(project, "", *overrides).config.train.eval_windows

    assert windows() == 240
    assert windows("train.runtime.eval_windows=7") == 7
    older = "train.runtime.eval_iters=5"
    splits = [(8, 1), (4, 2), (1, 8)]
    assert {
        windows(older, f"train.data.batch_size={size}", f"train.data.grad_accum_steps={steps}")
        for size, steps in splits
    } == {40}
    assert windows(older, "train.runtime.eval_windows=7") == 7
