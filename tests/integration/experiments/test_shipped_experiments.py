"""The experiments in `experiments/`, each in a copy of its folder."""

import re
import shutil
from pathlib import Path

import pytest

from transformer_playground.config.loading import LoadedConfig
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.prepare import PrepareReport
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.experiments.discovery import discover, load_experiment
from transformer_playground.experiments.registry import dataset_state, prepare_experiment
from transformer_playground.records.published import find_dataset

SHIPPED = Path(__file__).parents[3] / "experiments"
NAMES = [
    "bundestag_char",
    "bundestag_finetuning_mps",
    "bundestag_qwen15b_lora_mps",
    "bundestag_tiktoken",
    "induction",
    "phrases",
    "shakespeare",
    "shakespeare_char",
    "shakespeare_char_fast",
    "shakespeare_char_laptop",
    "speakger",
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An experiments folder in a project of its own, with the shared defaults only."""
    experiments = tmp_path / "project" / "experiments"
    experiments.mkdir(parents=True)
    shutil.copy(SHIPPED / "default_config.toml", experiments)
    return experiments


def copied(project: Path, name: str, new_name: str | None = None) -> str:
    target = new_name or name
    ignored = shutil.ignore_patterns("raw", "datasets", "__pycache__")
    shutil.copytree(SHIPPED / name, project / target, ignore=ignored)
    return target


def prepared(
    project: Path, name: str, *settings: str
) -> tuple[LoadedConfig, PrepareReport, list[str]]:
    experiment, loaded = load_experiment(project, name, None, settings, {})
    said: list[str] = []
    report = prepare_experiment(experiment, loaded.config, report=said.append)
    assert dataset_state(experiment, loaded.config) == "prepared"
    return loaded, report, said


@pytest.fixture(scope="module")
def phrases_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiments folder with `phrases`, prepared; not to be changed."""
    experiments = tmp_path_factory.mktemp("phrases") / "experiments"
    experiments.mkdir()
    shutil.copy(SHIPPED / "default_config.toml", experiments)
    prepared(experiments, copied(experiments, "phrases"))
    return experiments


@pytest.fixture
def phrases(project: Path, phrases_once: Path) -> str:
    """The name of the experiment `phrases`, as prepared in `project`."""
    shutil.copytree(phrases_once / "phrases", project / "phrases")
    return "phrases"


def test_every_experiment_is_discovered() -> None:
    assert [experiment.name for experiment in discover(SHIPPED)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_and_describes_itself(name: str) -> None:
    _, loaded = load_experiment(SHIPPED, name, None, (), {})
    assert loaded.config.experiment.description
    assert loaded.config.experiment.tags


@pytest.mark.parametrize(
    ("name", "train", "val", "vocab_size"),
    [
        ("shakespeare", 301_966, 36_059, 50_257),
        ("shakespeare_char", 1_003_854, 111_540, 65),
        ("shakespeare_char_fast", 1_003_854, 111_540, 65),
    ],
)
def test_shakespeare_has_the_known_token_counts(
    project: Path, name: str, train: int, val: int, vocab_size: int
) -> None:
    loaded, report, said = prepared(project, copied(project, name))
    assert (report.train_tokens, report.val_tokens, report.vocab_size) == (train, val, vocab_size)
    dataset = open_dataset(loaded.config.prepare.dataset_dir, prepare_command="")
    assert (len(dataset.train), len(dataset.val)) == (train, val)
    # Runs on it are placed beside published results of the same text, split and characters.
    is_known = dataset.fingerprint == find_dataset("shakespeare_char").fingerprint
    assert is_known == (vocab_size == 65)
    assert any("tiny_shakespeare.txt" in line for line in said)


@pytest.mark.parametrize("name", ["bundestag_char", "bundestag_tiktoken"])
def test_bundestag_starts_from_the_bundled_sample_and_says_so(project: Path, name: str) -> None:
    loaded, report, said = prepared(project, copied(project, name))
    assert any("bundestag_sample.txt" in line for line in said)
    assert report.val_tokens > 10 * loaded.config.train_block_size
    tokenizer = load_tokenizer(loaded.config.prepare.dataset_dir)
    start = loaded.config.sample.sample.start
    assert tokenizer.decode(tokenizer.encode(start)) == start


def test_a_bundestag_text_of_ones_own_takes_the_place_of_the_sample(project: Path) -> None:
    name = copied(project, "bundestag_char")
    (project / name / "raw").mkdir()
    (project / name / "raw" / "rede.txt").write_text("Sehr geehrte Damen! " * 100, encoding="utf-8")
    loaded, _, said = prepared(project, name)
    assert not any("bundestag_sample" in line for line in said)
    assert [path.name for path in loaded.config.prepare.raw_dir.iterdir()] == ["rede.txt"]


def test_phrases_are_written_split_by_line_and_marked_at_both_ends(
    project: Path, phrases: str
) -> None:
    loaded, report, _ = prepared(project, phrases)
    prepare = loaded.config.prepare
    written = (prepare.raw_dir / "phrases.txt").read_text(encoding="utf-8").splitlines()
    assert len(set(written)) == len(written) >= 15_000
    assert report.vocab_size == prepare.vocab_size

    tokenizer = load_tokenizer(prepare.dataset_dir)
    dataset = open_dataset(prepare.dataset_dir, prepare_command="")
    lines = {"train": dataset.train, "val": dataset.val}
    for tokens in lines.values():
        assert tokens[0] == tokenizer.bos_id
        assert tokens[-1] == tokenizer.eos_id
        first = tokens[: list(tokens[:64]).index(tokenizer.eos_id)]
        assert tokenizer.decode(first.tolist()) in written
    held_out = int((dataset.val[:] == tokenizer.eos_id).sum())
    assert held_out == round(len(written) * prepare.val_fraction)
    assert held_out + int((dataset.train[:] == tokenizer.eos_id).sum()) == len(written)


def test_repeated_letters_are_written_unless_there_is_a_text(project: Path) -> None:
    loaded, report, said = prepared(project, copied(project, "induction"))
    assert report.vocab_size == 26
    assert report.train_tokens > 450_000
    assert any("12,000 sequences" in line for line in said)
    raw = loaded.config.prepare.raw_dir
    assert [path.name for path in raw.iterdir()] == ["repeated.txt"]
    (raw / "repeated.txt").unlink()
    (raw / "mine.txt").write_text("abcabc" * 200, encoding="utf-8")
    prepared(project, "induction")
    assert [path.name for path in raw.iterdir()] == ["mine.txt"]


def test_generated_phrases_are_removed_when_own_texts_are_added(
    project: Path, phrases: str
) -> None:
    raw = project / phrases / "raw"
    (raw / "mine.txt").write_text("one short line\nanother short line\n" * 99, encoding="utf-8")
    _, _, said = prepared(project, phrases, "prepare.tokenizer_type=char")
    assert [path.name for path in raw.iterdir()] == ["mine.txt"]
    assert any("phrases.txt: removed" in line for line in said)


def test_edited_phrases_stay_beside_texts_of_ones_own(project: Path, phrases: str) -> None:
    raw = project / phrases / "raw"
    with (raw / "phrases.txt").open("a", encoding="utf-8") as file:
        file.write("a line of mine\n")
    (raw / "mine.txt").write_text("one short line\n", encoding="utf-8")
    prepared(project, phrases, "prepare.tokenizer_type=char")
    assert sorted(path.name for path in raw.iterdir()) == ["mine.txt", "phrases.txt"]


def test_no_phrases_are_generated_beside_own_texts(project: Path) -> None:
    name = copied(project, "phrases")
    raw = project / name / "raw"
    raw.mkdir()
    (raw / "mine.txt").write_text("one short line\nanother short line\n", encoding="utf-8")
    prepared(project, name, "prepare.tokenizer_type=char", "prepare.val_fraction=0.5")
    assert [path.name for path in raw.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["shakespeare_char", "phrases"])
def test_a_copy_under_another_name_works_in_its_own_folder(project: Path, name: str) -> None:
    copy = copied(project, name, f"my_{name}")
    loaded, report, _ = prepared(project, copy)
    assert report.train_tokens > 100_000
    folder = (project / copy).resolve()
    assert loaded.config.prepare.raw_dir == folder / "raw"
    assert loaded.config.prepare.dataset_dir == folder / "datasets"
    assert (folder / "datasets" / "train.bin").is_file()
    assert {path.name for path in project.iterdir()} == {"default_config.toml", copy}


def test_preparing_again_skips_everything(project: Path, phrases: str) -> None:
    _, again, said = prepared(project, phrases)
    assert again.created == again.refreshed == ()
    assert again.skipped
    assert not any("phrases.txt" in line for line in said)


def test_the_preparer_printed_in_the_overview_works(project: Path) -> None:
    overview = (SHIPPED / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", overview, flags=re.DOTALL)
    folder = project / "my_text"
    folder.mkdir()
    (folder / "config.toml").write_text("", encoding="utf-8")
    (folder / "prepare.py").write_text(code, encoding="utf-8")
    _, report, _ = prepared(project, "my_text")
    assert report.train_tokens > 10_000


def test_the_known_answer_keeps_the_published_recipe() -> None:
    _, loaded = load_experiment(SHIPPED, "shakespeare_char", None, (), {})
    model, train = loaded.config.model, loaded.config.train
    assert (model.n_layer, model.n_head, model.n_embd, model.block_size) == (4, 4, 128, 64)
    assert (model.dropout, model.bias, model.activation, model.norm) == (
        0.0,
        False,
        "gelu",
        "layernorm",
    )
    assert (model.positional_encoding, model.tie_embeddings) == ("learned", True)
    assert (train.data.batch_size, train.data.grad_accum_steps) == (12, 1)
    assert (train.runtime.max_iters, train.decay_iters, train.schedule.warmup_iters) == (
        2000,
        2000,
        100,
    )
    optim = train.optim
    assert (optim.optimizer, optim.learning_rate, train.schedule.min_lr) == ("adamw", 1e-3, 1e-4)
    assert (optim.beta1, optim.beta2, optim.weight_decay, optim.grad_clip) == (0.9, 0.99, 0.1, 1.0)
