"""`tp share`: one file that says everything and asks nobody."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.commands import Project, Tp
from builders.comparisons import finished_run
from builders.runs import eval_row, make_run, train_row
from transformer_playground.runs.folder import RunFolder
from transformer_playground.sharing.document import collect
from transformer_playground.sharing.page import page

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&<!--\x1b[31m\u202e\u2028"
MOST_BYTES = 2_000_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def runs_dir(project: Project) -> Path:
    return project.root / "runs"


def write_samples(run: RunFolder, *texts: str) -> None:
    rows = [{"step": 5, "time": 1.0, "prompt": ">", "text": text} for text in texts]
    run.samples_path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def hostile_pair(runs_dir: Path) -> list[RunFolder]:
    first = finished_run(runs_dir, "one", 2.0, model={"norm": HOSTILE, HOSTILE: 1})
    rows = [train_row(step, **{HOSTILE: 1.5}) for step in (1, 2)]
    other = finished_run(runs_dir, "two", 1.5, model={"norm": "x"}, rows=[*rows, eval_row(2, 1.5)])
    write_samples(first, HOSTILE)
    first.reports.mkdir(exist_ok=True)
    report = {"verdicts": [{"kind": "copying", "level": "bad", "sentence": HOSTILE}, 7]}
    (first.reports / "report-best-1.json").write_text(json.dumps(report), encoding="utf-8")
    return [first, other]


def test_the_file_has_verdict_settings_samples_reports_and_curves(runs_dir: Path, tp: Tp) -> None:
    first, _ = hostile_pair(runs_dir)
    write_samples(first, "To be\nor not")
    ended = tp("share", "one", "two", "--out", "shared.html", "--title", "A <b>title</b>")
    assert ended.code == 0, ended.err
    assert ended.out == "shared.html\n"
    text = (runs_dir.parent / "shared.html").read_text(encoding="utf-8")
    assert "<h1>A &lt;b&gt;title&lt;/b&gt;</h1>" in text
    assert "two is lowest: val loss 1.5000" in text
    assert "<h2>Settings that differ</h2>" in text
    assert "&gt;To be\nor not" in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    document = json.loads(data)
    assert [run["name"] for run in document["runs"]] == ["one", "two"]
    assert document["charts"][0]["key"] == "val_loss"
    assert document["charts"][0]["lines"][1] == {"run": 1, "x": [2], "y": [1.5]}


def test_text_of_a_run_is_never_markup_and_the_policy_forbids_the_network(runs_dir: Path) -> None:
    text = page(collect(hostile_pair(runs_dir), HOSTILE))
    assert "<img" not in text
    assert text.count("</script>") == text.count("<script") == 2
    assert not set("\x1b\u202e\u2028") & set(text)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert html.unescape(policy).startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"https?://|//[a-z]", text.split("</style>")[1].split("<script")[0])


def test_the_size_does_not_grow_with_the_length_of_a_run(runs_dir: Path) -> None:
    run = make_run(runs_dir, "long", [])
    steps, keys = np.arange(1, 30_001), ("train_loss", "lr", "grad_norm", "tokens_per_sec")
    values = np.random.default_rng(1).normal(2.0, 0.3, (len(keys), steps.size)).round(6)
    with run.metrics_path.open("w", encoding="utf-8") as file:
        for place, step in enumerate(steps.tolist()):
            row = {"event": "train", "step": step, "time": float(step)}
            row |= {key: values[number, place] for number, key in enumerate(keys)}
            file.write(json.dumps(row) + "\n")
    shared = collect([run])
    assert len(page(shared).encode()) < MOST_BYTES / 8
    # The extremes of a curve survive.
    (loss,) = (chart for chart in shared.charts["charts"] if chart["key"] == "train_loss")
    assert max(filter(None, loss["lines"][0]["y"])) == pytest.approx(values[0].max(), rel=1e-5)


def test_many_runs_share_the_space(runs_dir: Path) -> None:
    rows = [
        train_row(step, **{f"own_{number}": step / 7 for number in range(10)})
        for step in range(1, 400)
    ]
    runs = [finished_run(runs_dir, f"r{number}", rows=rows) for number in range(12)]
    assert len(page(collect(runs)).encode()) < MOST_BYTES


def test_a_single_run_and_one_without_rows_are_shared_too(runs_dir: Path) -> None:
    text = page(collect([make_run(runs_dir, "empty", [])]))
    assert "<h1>empty</h1>" in text
    assert "verdict" not in text.split("</style>")[1].split("<script")[0]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nobody",), "nobody"),
        (("one", "--out", "x.txt"), "is not an HTML file"),
        (("one", "--out", "gone/x.html"), "could not be written"),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(
    runs_dir: Path, tp: Tp, words: tuple[Any, ...], expected: str
) -> None:
    finished_run(runs_dir, "one")
    ended = tp("share", *words)
    assert ended.code != 0
    assert expected in ended.err


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_without_network_draws_it_and_runs_nothing_else(
    runs_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shared.html"
    path.write_text(page(collect(hostile_pair(runs_dir), HOSTILE)), encoding="utf-8")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    # Every name resolves to nothing, so that a request would fail.
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    command = [str(CHROMIUM), *flags, offline, f"--user-data-dir={tmp_path / 'profile'}"]
    ended = subprocess.run(
        [*command, "--enable-logging=stderr", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    # Set by the script at its end.
    (drawn,) = re.findall(r'data-ready="(\d+)"', ended.stdout)
    assert int(drawn) > 2
    assert "<img" not in ended.stdout
    assert "CONSOLE" not in ended.stderr, ended.stderr
