"""An experiment's own prepare.py is found, run and, where it fails, named with its line."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders.configs import TINY_TOML, write_experiment
from transformer_playground import experiments
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.prepare import PrepareReport
from transformer_playground.errors import DataError
from transformer_playground.experiments.discovery import Experiment, load_experiment
from transformer_playground.experiments.registry import (
    STAMP_FILE,
    PrepareContext,
    dataset_state,
    prepare_experiment,
    register,
)

IMPORT = "from transformer_playground.experiments.registry import register\n"
WRITES_RAW = f"""\
from pathlib import Path
{IMPORT}
@register("tiny")
def main(context):
    context.report(f"{{context.experiment.name}} force={{context.force}}")
    context.config.prepare.raw_dir.mkdir(exist_ok=True)
    (context.config.prepare.raw_dir / "made.txt").write_text("tick tock " * 30)
"""
OWN_DATASET = f"""\
import pickle
from transformer_playground.data.prepare import prepare_dataset
{IMPORT}
@register("tiny")
def main(context):
    prepare = context.config.prepare
    report = prepare_dataset(prepare, report=context.report, force=True)
    path = prepare.dataset_dir / "meta.pkl"
    meta = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(meta | {{"settings": {{"mine": 1}}}}))
    return report
"""


def _silent(line: str) -> None:
    del line


def _experiment(
    root: Path, prepare: str | None = None, name: str = "tiny"
) -> tuple[Experiment, ExperimentConfig]:
    files = {"raw/text.txt": "the quick brown fox " * 20}
    if prepare is not None:
        files["prepare.py"] = prepare
    write_experiment(root, name, TINY_TOML, files)
    experiment, loaded = load_experiment(root, name, None, (), {})
    return experiment, loaded.config


def _prepare(root: Path, prepare: str | None = None, name: str = "tiny") -> PrepareReport:
    experiment, config = _experiment(root, prepare, name)
    return prepare_experiment(experiment, config, report=_silent)


def _failure(root: Path, prepare: str, name: str = "tiny") -> str:
    with pytest.raises(DataError) as caught:
        _prepare(root, prepare, name)
    return str(caught.value)


def test_without_a_prepare_file_the_standard_preparer_runs(tmp_path: Path) -> None:
    assert "train.bin" in _prepare(tmp_path).created
    assert _prepare(tmp_path).created == ()


def test_a_preparer_that_returns_nothing_hands_over_to_the_standard_one(tmp_path: Path) -> None:
    experiment, config = _experiment(tmp_path, WRITES_RAW)
    lines: list[str] = []
    prepared = prepare_experiment(experiment, config, report=lines.append, force=True)
    assert lines[0].startswith("running ")
    assert lines[0].endswith("prepare.py")
    assert lines[1] == "tiny force=True"
    assert "train.bin" in prepared.created
    assert prepared.vocab_size > len(set("tick tock"))


def test_a_copied_folder_uses_its_own_copy_under_any_name(tmp_path: Path) -> None:
    _prepare(tmp_path, WRITES_RAW)
    _prepare(tmp_path, WRITES_RAW.replace("tick tock", "ding dong"), "copy")
    assert (tmp_path / "tiny" / "raw" / "made.txt").read_text().startswith("tick")
    assert (tmp_path / "copy" / "raw" / "made.txt").read_text().startswith("ding")


def test_two_copies_are_two_modules_and_know_their_own_file(tmp_path: Path) -> None:
    source = f"""\
import dataclasses
from pathlib import Path
{IMPORT}
@dataclasses.dataclass
class Note:
    text: "str"
@register("tiny")
def main(context):
    Path(__file__).with_name("module.txt").write_text(Note(__name__).text)
"""
    _prepare(tmp_path, source)
    _prepare(tmp_path, source, "copy")
    names = {(tmp_path / name / "module.txt").read_text() for name in ("tiny", "copy")}
    assert len(names) == 2
    assert not names & {"prepare", "__main__"}


def test_an_edit_takes_effect_at_once(tmp_path: Path) -> None:
    for word in ("aaaa", "bbbb"):
        _prepare(tmp_path, WRITES_RAW.replace("tick", word))
        assert (tmp_path / "tiny" / "raw" / "made.txt").read_text().startswith(word)
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_that_registers_nothing_is_told_how(tmp_path: Path) -> None:
    message = _failure(tmp_path, "def main(context): ...\n")
    assert "prepare.py registers no preparer" in message
    assert '@register("tiny")' in message


def test_of_several_preparers_the_one_with_the_folders_name_is_taken(tmp_path: Path) -> None:
    two = f"""\
{IMPORT}
@register("other")
def other(context):
    raise AssertionError("the wrong one")
@register("tiny")
def main(context):
    (context.experiment.folder / "ran").touch()
"""
    _prepare(tmp_path, two)
    assert (tmp_path / "tiny" / "ran").exists()
    assert "registers 2 preparers: other, tiny" in _failure(tmp_path, two, "copy")


def test_one_name_registered_twice_is_refused(tmp_path: Path) -> None:
    twice = f"{IMPORT}\n" + '@register("tiny")\ndef a(context): ...\n' * 2
    assert "registers 2 preparers: tiny, tiny" in _failure(tmp_path, twice)


def test_register_without_a_name_is_refused(tmp_path: Path) -> None:
    message = _failure(tmp_path, f"{IMPORT}\n@register\ndef main(context): ...\n")
    assert "@register needs the experiment's name" in message


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("x = 1 / 0\n", "prepare.py, line 1: ZeroDivisionError: division by zero"),
        ("def main(:\n", "prepare.py, line 1: SyntaxError"),
        ("import no_such_module_here\n", "line 1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit('enough')\n", "line 2: SystemExit: enough"),
        ("x = '\0'\n", "prepare.py"),
        (
            f"import json\n{IMPORT}@register('tiny')\ndef main(context):\n    json.loads('{{')\n",
            "line 5: JSONDecodeError",
        ),
        (f"{IMPORT}@register('tiny')\ndef main(a, b):\n    return None\n", "prepare.py: TypeError"),
        (f"{IMPORT}@register('tiny')\ndef main(context):\n    return 3\n", "returned int"),
    ],
)
def test_a_fault_in_the_file_names_file_line_and_exception(
    tmp_path: Path, body: str, complaint: str
) -> None:
    assert complaint in _failure(tmp_path, body)


def test_the_cause_of_a_fault_is_kept_and_the_broken_module_is_not(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(DataError) as caught:
        _prepare(tmp_path, "x = 1 / 0\n")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    left = {
        name for name in set(sys.modules) - before if name.startswith("transformer_playground_")
    }
    assert left == set()


def test_an_error_of_the_family_passes_as_it_is(tmp_path: Path) -> None:
    source = f"""\
from transformer_playground.errors import DataError
{IMPORT}
@register("tiny")
def main(context):
    raise DataError("No text today.", "Try tomorrow.")
"""
    assert _failure(tmp_path, source) == "No text today. Try tomorrow."


@pytest.mark.parametrize(
    "raised",
    [
        "KeyboardInterrupt",
        "GeneratorExit",
        "SystemExit",
        "asyncio.CancelledError",
        "Own",
        "StopIteration",
    ],
)
@pytest.mark.parametrize("where", ["module", "preparer"])
def test_any_exception_in_a_worker_thread_is_a_fault_of_the_file(
    tmp_path: Path, raised: str, where: str
) -> None:
    body = f"import asyncio\nclass Own(BaseException): pass\n{IMPORT}"
    if where == "preparer":
        body += "@register('tiny')\ndef main(context):\n    "
    body += f"raise {raised}('enough')\n"

    with ThreadPoolExecutor(1) as pool:
        message = pool.submit(_failure, tmp_path, body).result()

    assert re.search(rf"prepare.py, line \d: {raised.removeprefix('asyncio.')}: enough", message)


def test_an_interruption_is_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _prepare(tmp_path, "raise KeyboardInterrupt\n")


def test_a_report_without_a_dataset_is_refused(tmp_path: Path) -> None:
    source = f"""\
from transformer_playground.data.prepare import PrepareReport
{IMPORT}
@register("tiny")
def main(context):
    return PrepareReport((), (), (), 1, 1, 2, ())
"""
    assert "wrote no dataset" in _failure(tmp_path, source)


def test_a_loose_config_does_not_run_the_prepare_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "loose.toml").write_text(TINY_TOML)
    (tmp_path / "prepare.py").write_text("raise SystemExit('run')")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("the quick brown fox " * 20)
    experiment, loaded = load_experiment(
        tmp_path / "experiments", None, tmp_path / "loose.toml", (), {}
    )
    assert prepare_experiment(experiment, loaded.config, report=_silent).created


def test_register_leaves_the_function_as_it_is() -> None:
    def main(context: PrepareContext) -> PrepareReport | None:
        return None

    assert register("tiny")(main) is main


def test_the_state_follows_the_dataset_the_inputs_and_the_prepare_file(tmp_path: Path) -> None:
    experiment, config = _experiment(tmp_path, WRITES_RAW)
    assert dataset_state(experiment, config) == "missing"
    prepare_experiment(experiment, config, report=_silent)
    assert dataset_state(experiment, config) == "prepared"

    (config.prepare.raw_dir / "more.txt").write_text("more text")
    assert dataset_state(experiment, config) == "stale"
    prepare_experiment(experiment, config, report=_silent)
    assert dataset_state(experiment, config) == "prepared"

    (experiment.folder / "prepare.py").write_text(WRITES_RAW + "# edited\n")
    assert dataset_state(experiment, config) == "stale"


def test_the_state_without_a_prepare_file_is_the_standard_one(tmp_path: Path) -> None:
    experiment, config = _experiment(tmp_path)
    assert dataset_state(experiment, config) == "missing"
    prepare_experiment(experiment, config, report=_silent)
    assert dataset_state(experiment, config) == "prepared"
    assert not (config.prepare.dataset_dir / STAMP_FILE).exists()


def test_a_dataset_of_the_preparers_own_making_is_prepared_while_whole(tmp_path: Path) -> None:
    experiment, config = _experiment(tmp_path, OWN_DATASET)
    prepare_experiment(experiment, config, report=_silent)
    assert dataset_state(experiment, config) == "prepared"
    (config.prepare.dataset_dir / "train.bin").write_bytes(b"")
    assert dataset_state(experiment, config) == "stale"


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"standard": true}', "\udcff"])
def test_a_damaged_stamp_only_makes_the_dataset_stale(tmp_path: Path, damage: str) -> None:
    experiment, config = _experiment(tmp_path, WRITES_RAW)
    prepare_experiment(experiment, config, report=_silent)
    stamp = config.prepare.dataset_dir / STAMP_FILE
    stamp.write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert dataset_state(experiment, config) == "stale"


def test_a_moved_experiment_keeps_its_dataset(tmp_path: Path) -> None:
    _prepare(tmp_path / "here", WRITES_RAW)
    (tmp_path / "here").rename(tmp_path / "there")
    experiment, loaded = load_experiment(tmp_path / "there", "tiny", None, (), {})
    assert dataset_state(experiment, loaded.config) == "prepared"


def test_a_preparer_may_take_no_argument(tmp_path: Path) -> None:
    text = """
from pathlib import Path
from transformer_playground.experiments import register

@register("tiny")
def main():
    raw = Path(__file__).parent / "raw"
    (raw / "made.txt").write_text("tick tock " * 30)
"""
    experiment, config = _experiment(tmp_path, text)
    prepare_experiment(experiment, config, report=_silent)
    assert (experiment.folder / "raw/made.txt").is_file()
    assert dataset_state(experiment, config) == "prepared"


def test_register_is_imported_from_the_package_and_nothing_else() -> None:
    assert experiments.register is register
    assert experiments.PrepareContext is PrepareContext
    with pytest.raises(AttributeError, match="registrar"):
        experiments.registrar  # noqa: B018


@pytest.mark.parametrize("preparer", [WRITES_RAW, OWN_DATASET])
def test_a_prepared_dataset_in_a_read_only_folder_is_used_as_it_is(
    preparer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(tmp_path, preparer)
    experiment, config = _experiment(tmp_path, preparer)
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr(Path, "write_text", lambda *_: pytest.fail("the preparer was run"))
    assert dataset_state(experiment, config) == "prepared"
    assert prepare_experiment(experiment, config, report=_silent).created == ()
