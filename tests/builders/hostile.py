"""Text of those who would like to steer the reader's terminal."""

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

from builders.commands import CONTROL, Project, make_project
from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.config.sample import PROMPT_SETTING
from transformer_playground.config.toml import toml_string
from transformer_playground.runs.annotations import Annotations, write_annotations
from transformer_playground.sweeps.axes import Choices
from transformer_playground.sweeps.spec import Sweep, save_sweep
from transformer_playground.sweeps.trials import plan

# What terminals obey, what a toolkit takes for markup, and what has no width of its own, or two.
_PIECES = (
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u200b\u200c\u200d\u2028\u2029\ufe0f\ufeff\u0301\u20e3\u3000\U000e0001",
    *("漢", "가", "👩‍👩‍👧", "🇩🇪", "é", "ﷺ", "\ud800", "\udfff", "\udcff", "\U0010ffff"),
    "\x1b]52;c;cm0=\x07",
    "\x1b]0;title\x07",
    "\x1b]8;;file:///etc\x1b\\",
    "\x1bP+q544e\x1b\\",
    "\x1b[31337m",
    "\x1b[6n",
    "\x1b[?1049l",
    "\x1bc",
    "\x9b31337m",
    "\x9d0;title\x9c",
    *("[/]", "[/red]", "[bold]", "[@click=app.exit]", "[link=x]", "[$error]", "\\[", "[", "]"),
    *("{}", "%s", "$foreground", "\\", '"', "'", "#", "=", ":", "␛", "a", "Z", "0", " ", "  "),
)


def hostile_texts(count: int, seed: int) -> Iterator[str]:
    """So many texts of up to 12 pieces; the same ones for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        yield "".join(chance.choices(_PIECES, k=chance.randint(0, 12)))


def harm_in(text: str, *, one_line: bool = False) -> str | None:
    """What a terminal would obey, or could not be sent; None for harmless text.

    Args:
        text: As it would be written.
        one_line: Whether it must keep to its line as well.
    """
    found = CONTROL.search(text)
    if found:
        return repr(found[0])
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "a lone surrogate"
    return "a line break" if one_line and set(text) & set("\n\t\u2028\u2029") else None


def hostile_project(root: Path, runs: int, seed: int = 7) -> Project:
    """An experiment and so many runs in which every text that can be hostile is."""
    project = make_project(root)
    config = project.experiment / "config.toml"
    texts = hostile_texts(1_000_000, seed)
    described = config.read_text(encoding="utf-8").replace(
        '"bottles on a wall"', json.dumps("[/red]\x1b]0;t\x07\x9b31337m\u202e")
    )
    config.write_text(described, encoding="utf-8")
    folder = root / "runs"
    for number in range(runs):
        _hostile_run(folder, f"run-{number:03}", texts)
        name = next(texts).replace("/", "").replace("\0", "").strip(".")[:40]
        # Some file systems take only names in UTF-8, and none takes one without characters.
        with contextlib.suppress(OSError, UnicodeEncodeError):
            (folder / name).mkdir(exist_ok=True)
    return project


def hostile_sweep(project: Project, seed: int = 6) -> None:
    """A sweep whose values are hostile texts, with finished runs, and one that cannot be read."""
    texts = (text for text in hostile_texts(1000, seed) if text.strip() and _is_utf8(text))
    prompts = Choices(PROMPT_SETTING, tuple(next(texts) + str(number) for number in range(3)))
    axes = (prompts, Choices("model.norm", ("rmsnorm", "layernorm")))
    sweep = Sweep("hostile", "tiny", axes, (1,))
    save_sweep(project.root / "sweeps", sweep)
    for number, trial in enumerate(plan(sweep)[:-1]):
        rows = [status_row(0, "running"), eval_row(1, 2.0 + number), status_row(20, "finished")]
        make_run(project.root / "runs", trial.run_id, rows, experiment="tiny")
    broken = project.root / "sweeps" / "broken" / "sweep.toml"
    broken.parent.mkdir()
    broken.write_text(f"method = {toml_string(next(texts))}", encoding="utf-8")


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _hostile_run(folder: Path, run_id: str, texts: Iterator[str]) -> None:
    run = make_run(
        folder,
        run_id,
        [
            status_row(0, "running", device=next(texts), dtype=next(texts)),
            train_row(1),
            eval_row(1, 2.0),
            {"event": "warning", "step": 1, "time": 1001.0, "message": next(texts)},
            {"event": "checkpoint", "step": 1, "time": 1001.0, "kinds": [next(texts)]},
            status_row(1, "failed", error=next(texts) * 3),
        ],
        experiment=next(texts),
        environment={"device": next(texts), "host": next(texts)},
    )
    write_annotations(run, Annotations(tags=(), note=next(texts)[:200]))
    document = json.loads(run.config_path.read_text(encoding="utf-8"))
    key = next(texts)
    document["config"]["model"] = {key: next(texts), "norm": next(texts)}
    document["provenance"] = {f"model.{key}": next(texts)}
    run.config_path.write_text(json.dumps(document), encoding="utf-8")
    samples = [
        {
            "step": 1,
            "time": 1001.0,
            "prompt": next(texts),
            "text": "".join(next(texts) for _ in "123"),
        }
    ]
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    run.samples_path.write_text(lines, encoding="utf-8")
    run.logs.mkdir(exist_ok=True)
    run.log_path.write_bytes(next(texts).encode("utf-8", "surrogatepass") + b"\xff\n")


class Panic(BaseException):
    """As libraries in Rust raise it: no `Exception`."""

    __module__ = "pyo3_runtime"
