"""Reports of tiny real runs: their values, their verdicts, and what they do without."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builders.reports import WORDS, random_words, train_on
from builders.schemas import check
from builders.training import runtime
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.loader import evaluation_batches
from transformer_playground.errors import CheckpointError, DataError, PlaygroundError
from transformer_playground.report.build import load_context, make_report, write_report
from transformer_playground.report.quick import quick_report
from transformer_playground.report.render import markdown_report, summary
from transformer_playground.report.request import ReportRequest, resolve_report
from transformer_playground.report.schema import Report
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.generation_request import SampleRequest

LEARNS_BY_HEART: dict[str, Any] = {
    "model": {"n_embd": 64, "block_size": 32, "positional_encoding": "rope"},
    "train": {
        "data": {"batch_size": 16},
        "optim": {"learning_rate": 5e-3},
        "schedule": {"warmup_iters": 5},
        "runtime": {"max_iters": 150, "eval_interval": 75, "log_interval": 150, "threads": 1},
    },
}
UNTRAINED = {"train": {"schedule": {"warmup_iters": 0}, "runtime": {"max_iters": 0}}}


def report_on(run: RunFolder, request: ReportRequest) -> Report:
    return make_report(resolve_report(run, request))


def request(checkpoint: str = "last", *, seed: int = 1337, **sample: Any) -> ReportRequest:
    options = {"n_samples": 40, "max_new_tokens": 40} | sample
    return ReportRequest(sampling=SampleRequest(checkpoint=checkpoint, seed=seed, **options))


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that knows sixty random words by heart; not to be changed."""
    return train_on(tmp_path_factory.mktemp("memorised"), random_words(60), LEARNS_BY_HEART)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of no steps; not to be changed."""
    return train_on(tmp_path_factory.mktemp("untrained"), random_words(200), UNTRAINED)


@pytest.fixture(scope="module")
def report(memorised: RunFolder) -> Report:
    return report_on(memorised, request())


def moved(run: RunFolder, to: Path) -> RunFolder:
    """A copy of a run whose recorded dataset is gone."""
    shutil.copytree(run.root, to / run.run_id)
    copy = RunFolder(to / run.run_id)
    record = json.loads(copy.config_path.read_text())
    record["config"]["prepare"]["dataset_dir"] = str(to / "gone")
    copy.config_path.write_text(json.dumps(record))
    return copy


def dataset_of(run: RunFolder) -> Path:
    return Path(read_run_config(run)["config"]["prepare"]["dataset_dir"])


def verdicts(report: Report) -> dict[str, str]:
    return {verdict.kind: verdict.sentence for verdict in report.verdicts}


def reasons(report: Report) -> dict[str, str]:
    return {missing.part: f"{missing.reason} {missing.hint}" for missing in report.missing}


def spoil_weights(run: RunFolder) -> str:
    """Put NaN into a copy of the last checkpoint, which nothing vouches for."""
    payload = torch.load(run.checkpoints / "last.pt", weights_only=True)
    payload["model"]["token_embedding.weight"].fill_(math.nan)
    torch.save(payload, run.checkpoints / "spoilt.pt")
    return "spoilt.pt"


def test_a_memorised_text_is_reported(report: Report) -> None:
    found = verdicts(report)
    assert {"memorised", "overfitting"} <= found.keys()
    assert "(real text: 0%)" in found["memorised"]
    assert "while training loss fell" in found["overfitting"]
    assert report.texts is not None
    assert report.texts.model.exact_match is not None
    assert report.texts.model.longest_match is not None
    assert report.texts.model.longest_match.length == 40
    assert "memorised" in summary(report)


def test_an_untrained_model_is_reported(untrained: RunFolder) -> None:
    report = report_on(untrained, request())
    assert "untrained" in verdicts(report)
    assert "no_memorisation" in verdicts(report)
    size = len(set("".join(WORDS)) | set(" \n"))
    assert report.evaluation.uniform_loss == pytest.approx(math.log(size))
    assert f"ln({size})" in verdicts(report)["untrained"]


def test_the_loss_of_the_whole_split_is_the_mean_over_its_tokens(memorised: RunFolder) -> None:
    context = load_context(resolve_report(memorised, request()))
    dataset, model = context.dataset, context.loaded.model
    assert dataset is not None
    tokens = torch.tensor(np.asarray(dataset.val).astype(np.int64))
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(tokens) - 1, 32):
            for end in range(first + 1, min(first + 32, len(tokens) - 1) + 1):
                logits = model(tokens[first:end].unsqueeze(0))[0, -1]
                total -= logits.log_softmax(-1)[tokens[end]].item()
    full = report_on(memorised, request()).evaluation.full_validation
    assert full is not None
    assert full.tokens == len(tokens) - 1
    assert full.share == 1
    assert full.loss == pytest.approx(total / full.tokens, rel=1e-5)
    assert full.perplexity == pytest.approx(math.exp(full.loss))
    text = context.loaded.tokenizer.decode(tokens.tolist())
    bits = full.loss / math.log(2) * len(tokens) / len(text.encode())
    assert full.bits_per_byte == pytest.approx(bits)


def test_evaluation_windows_are_those_of_training(memorised: RunFolder, report: Report) -> None:
    windows, course = report.evaluation.windows, report.evaluation.history
    assert windows is not None
    assert course is not None
    assert windows.source == "evaluated"
    assert windows.val_loss == pytest.approx(course.newest_val_loss, rel=1e-5)
    assert windows.generalisation_gap == windows.val_loss - windows.train_loss
    context = load_context(resolve_report(memorised, request()))
    assert context.dataset is not None
    config = ExperimentConfig.model_validate(context.setup.record["config"])
    losses = []
    for inputs, targets in evaluation_batches(
        context.dataset.train,
        batch_size=16,
        block_size=32,
        n_windows=config.train.eval_windows,
    ):
        logits = context.loaded.model(torch.from_numpy(inputs)).flatten(0, 1)
        expected = torch.from_numpy(targets).flatten()
        losses.append(torch.nn.functional.cross_entropy(logits, expected).item())
    assert windows.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_rises_are_counted_from_the_best_evaluation(memorised: RunFolder, report: Report) -> None:
    course = report.evaluation.history
    assert course is not None
    assert (course.evaluations, course.best_step, course.newest_step) == (3, 75, 150)
    assert course.newest_val_rise == course.newest_val_loss - course.best_val_loss > 0.05
    assert course.checkpoint_val_rise == pytest.approx(course.newest_val_rise, abs=1e-5)
    best = report_on(memorised, request("best")).evaluation
    assert best.windows is not None
    assert best.history is not None
    assert best.windows.step == 75
    assert best.history.checkpoint_val_rise == pytest.approx(0, abs=1e-5)


def test_real_text_has_the_lengths_of_the_samples(report: Report) -> None:
    assert report.texts is not None
    assert report.texts.validation is not None
    model, real = report.texts.model.statistics, report.texts.validation.statistics
    assert (model.count, model.avg_chars) == (40, 40)
    assert real.count == 40
    assert report.texts.validation.exact_match is not None
    assert report.texts.validation.exact_match.val is None


def test_options_of_sampling_and_evaluation_change_the_report(memorised: RunFolder) -> None:
    small = request(n_samples=3, max_new_tokens=7)
    first = report_on(memorised, small)
    assert first.sampling is not None
    assert (first.sampling.n_samples, first.sampling.tokens_drawn) == (3, 21)
    assert first.texts == report_on(memorised, small).texts
    for changed in (
        request(n_samples=3, max_new_tokens=7, seed=5),
        request(n_samples=3, max_new_tokens=7, temperature=9.0),
        request(n_samples=3, max_new_tokens=7, top_k=1),
        request(n_samples=3, max_new_tokens=7, top_p=0.01),
        request(n_samples=3, max_new_tokens=7, prompt="jolly\n"),
    ):
        assert report_on(memorised, changed).texts != first.texts, changed


def test_part_of_the_split_and_of_the_text_is_stated(untrained: RunFolder) -> None:
    whole = request(n_samples=2)
    cut = ReportRequest(whole.sampling, eval_batches=1, max_searched_bytes=100)
    report = report_on(untrained, cut)
    full = report.evaluation.full_validation
    assert report.texts is not None
    assert report.texts.reference is not None
    assert report.texts.reference.train_chars == 100
    assert report.texts.reference.train_share < 0.2
    assert "Only the first" in summary(report)
    assert full is not None
    # The split is shorter than a batch of 64 windows but for its last, shorter window.
    assert full.share < 1
    assert "of the split" in summary(report)


def test_what_is_printed_and_written_follows_the_schema(
    memorised: RunFolder, untrained: RunFolder, tmp_path: Path
) -> None:
    for run in (memorised, untrained, moved(memorised, tmp_path)):
        document = report_on(run, request(n_samples=2)).as_json()
        check("report", json.loads(json.dumps(document, allow_nan=False)))


def test_without_its_dataset_a_report_says_what_is_missing_and_why(
    memorised: RunFolder, tmp_path: Path
) -> None:
    report = report_on(moved(memorised, tmp_path), request())
    assert report.dataset is None
    assert report.evaluation.full_validation is None
    assert report.evaluation.windows is not None
    assert report.evaluation.windows.source == "metrics"
    assert report.texts is not None
    assert report.texts.reference is None
    assert report.texts.model.statistics.count == 40
    assert reasons(report).keys() == {"dataset", "evaluation.full_validation", "texts.reference"}
    assert str(tmp_path / "gone") in reasons(report)["dataset"]
    assert "--dataset" in reasons(report)["dataset"]
    assert "overfitting" in verdicts(report)
    assert "Missing" in summary(report)


def test_a_moved_dataset_is_found_by_option_or_among_experiments(
    memorised: RunFolder, report: Report, tmp_path: Path
) -> None:
    run, dataset = moved(memorised, tmp_path), dataset_of(memorised)
    experiments = dataset.parents[1]
    sampling = request().sampling
    for where in (
        ReportRequest(sampling, dataset=dataset),
        ReportRequest(sampling, experiments_dir=experiments),
    ):
        found = report_on(run, where)
        assert found.dataset is not None
        assert found.dataset.is_checked
        assert found.texts == report.texts


def test_another_dataset_is_never_taken_for_the_runs_own(
    memorised: RunFolder, untrained: RunFolder, tmp_path: Path
) -> None:
    run, other = moved(memorised, tmp_path), dataset_of(untrained)
    with pytest.raises(DataError, match="not the one this run was trained on"):
        report_on(run, ReportRequest(request().sampling, dataset=other))
    report = report_on(run, ReportRequest(request().sampling, experiments_dir=other.parents[1]))
    assert report.dataset is None
    assert "not the one this run was trained on" in reasons(report)["dataset"]


def test_a_run_without_config_is_reported_with_what_it_has(
    memorised: RunFolder, tmp_path: Path
) -> None:
    run = moved(memorised, tmp_path)
    run.config_path.unlink()
    report = report_on(run, request(n_samples=2))
    assert report.experiment is None
    assert "did not record which dataset" in reasons(report)["dataset"]
    stated = ReportRequest(request(n_samples=2).sampling, dataset=dataset_of(memorised))
    report = report_on(run, stated)
    assert report.dataset is not None
    assert not report.dataset.is_checked
    assert "not checked" in summary(report)
    assert report.evaluation.full_validation is not None
    check("report", report.as_json())


def test_settings_of_another_version_cost_only_the_windows(
    memorised: RunFolder, tmp_path: Path
) -> None:
    run = moved(memorised, tmp_path)
    record = json.loads(run.config_path.read_text())
    record["config"]["train"]["optim"]["of_old"] = 1
    run.config_path.write_text(json.dumps(record))
    run.metrics_path.unlink()
    stated = ReportRequest(request(n_samples=2).sampling, dataset=dataset_of(memorised))
    report = report_on(run, stated)
    assert report.evaluation.windows is None
    assert "train.optim.of_old" in reasons(report)["evaluation.windows"]
    assert report.evaluation.full_validation is not None
    assert report.texts is not None
    assert report.texts.reference is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"event": "eval", "step": 150, "val_lo',
        b'{"event": "eval", "step": 150, "train_loss": NaN, "val_loss": NaN}\n',
        b'{"event": "eval", "step": 150, "val_loss": "low"}\n\xff\xfe\n[1]\n',
    ],
)
def test_metrics_that_say_nothing_cost_only_the_course(
    memorised: RunFolder, tmp_path: Path, content: bytes
) -> None:
    run = moved(memorised, tmp_path)
    run.metrics_path.write_bytes(content)
    report = report_on(run, request(n_samples=2))
    assert report.evaluation.history is None
    assert {"evaluation.history", "evaluation.windows"} <= reasons(report).keys()
    check("report", report.as_json())
    assert summary(report)


def test_metrics_of_absurd_size_are_still_json(memorised: RunFolder, tmp_path: Path) -> None:
    run = moved(memorised, tmp_path)
    run.metrics_path.write_text(
        '{"event": "eval", "step": 75, "train_loss": 1, "val_loss": -1.7e308}\n'
        '{"event": "eval", "step": 150, "train_loss": -1.7e308, "val_loss": 1.7e308}\n'
    )
    report = report_on(run, request(n_samples=2))
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    check("report", document)
    assert document["evaluation"]["history"] is None
    assert summary(report)


def test_weights_that_are_no_numbers_are_named(memorised: RunFolder, tmp_path: Path) -> None:
    run = moved(memorised, tmp_path)
    stated = ReportRequest(request(spoil_weights(run)).sampling, dataset=dataset_of(memorised))
    report = report_on(run, stated)
    assert [verdict.kind for verdict in report.verdicts] == ["diverged"]
    assert report.sampling is None
    assert report.texts is None
    assert "is NaN" in reasons(report)["texts"]
    assert "not finite" in reasons(report)["evaluation.full_validation"]
    assert "diverged" in summary(report)
    assert "diverged" in markdown_report(report)
    check("report", report.as_json())


def test_a_run_without_checkpoint_is_an_error(memorised: RunFolder, tmp_path: Path) -> None:
    run = moved(memorised, tmp_path)
    shutil.rmtree(run.checkpoints)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        report_on(run, request())


def test_a_tokenizer_without_a_beginning_starts_with_the_runs_prompt(tmp_path: Path) -> None:
    run = train_on(tmp_path, random_words(60).replace("\n", " "), UNTRAINED)
    report = report_on(run, request(n_samples=2))
    assert report.sampling is not None
    assert not report.sampling.unconditional
    assert report.sampling.prompt == random_words(1)[0]


def test_lines_that_are_documents_are_compared_as_lines(tmp_path: Path) -> None:
    names = "".join(f"{first}{second}\n" for first in WORDS for second in WORDS[:5])
    lines = {"prepare": {"documents": "lines"}}
    run = train_on(tmp_path, names, UNTRAINED, lines)
    report = report_on(run, request(n_samples=4))
    assert report.texts is not None
    assert report.texts.reference is not None
    assert report.texts.reference.unit == "lines"
    assert report.texts.validation is not None
    assert report.texts.validation.statistics.count == 4
    assert "as many lines" in summary(report)


def test_reports_never_replace_each_other(
    memorised: RunFolder, report: Report, tmp_path: Path
) -> None:
    run = moved(memorised, tmp_path)
    first = write_report(run, report, markdown=True)
    second = write_report(run, report, markdown=True)
    assert len({*first, *second}) == 4
    stem = first[0].stem
    assert stem.startswith("report-last-20")
    assert [path.name for path in first] == [f"{stem}.json", f"{stem}.md"]
    assert [path.name for path in second] == [f"{stem}-2.json", f"{stem}-2.md"]
    assert json.loads(first[0].read_bytes()) == report.as_json()
    assert first[1].read_text() == markdown_report(report)
    assert {path.name for path in run.reports.iterdir()} == {
        path.name for path in (*first, *second)
    }


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0, 60.0])
def test_a_quick_report_is_whole_or_absent_whatever_its_budget(
    memorised: RunFolder, tmp_path: Path, seconds: float
) -> None:
    run = moved(memorised, tmp_path)
    told: list[str] = []
    path = quick_report(run, seconds=seconds, dataset=dataset_of(memorised), notify=told.append)
    assert told == []
    if path is not None:
        document = json.loads(path.read_bytes())
        check("report", document)
        assert document["kind"] == "quick"
        assert document["evaluation"]["windows"]["source"] == "metrics"
    written = list(run.reports.iterdir())
    assert written == ([] if path is None else [path])


def test_with_time_enough_a_quick_report_has_every_part(
    memorised: RunFolder, tmp_path: Path
) -> None:
    run = moved(memorised, tmp_path)
    path = quick_report(run, seconds=600, dataset=dataset_of(memorised))
    assert path is not None
    document = json.loads(path.read_bytes())
    assert document["missing"] == []
    assert document["sampling"]["n_samples"] == 200
    assert document["evaluation"]["full_validation"]["share"] == 1
    assert document["texts"]["reference"]["train_share"] == 1


def test_a_quick_report_without_budget_leaves_nothing(memorised: RunFolder) -> None:
    before = sorted(memorised.reports.iterdir())
    assert quick_report(memorised, seconds=0.01) is None
    assert sorted(memorised.reports.iterdir()) == before


def test_a_budget_that_is_too_small_is_not_an_error(memorised: RunFolder, tmp_path: Path) -> None:
    run = moved(memorised, tmp_path)
    shutil.rmtree(run.checkpoints)
    told: list[str] = []
    assert quick_report(run, seconds=0.01, notify=told.append) is None
    assert told == []


def test_a_quick_report_of_a_broken_run_gives_the_reason_and_raises_nothing(
    memorised: RunFolder, tmp_path: Path
) -> None:
    run = moved(memorised, tmp_path)
    shutil.rmtree(run.reports)
    run.reports.write_text("in the way")
    told: list[str] = []
    assert quick_report(run, seconds=600, notify=told.append) is None
    shutil.rmtree(run.checkpoints)
    assert quick_report(run, seconds=600, notify=told.append) is None
    assert "could not be written" in told[0]
    assert "no checkpoint" in told[1]


def test_a_quick_report_of_diverged_weights_says_so(memorised: RunFolder, tmp_path: Path) -> None:
    run = moved(memorised, tmp_path)
    spoilt = run.checkpoints / spoil_weights(run)
    content = spoilt.read_bytes()
    for file in run.checkpoints.iterdir():
        file.unlink()
    (run.checkpoints / "ckpt.pt").write_bytes(content)
    path = quick_report(run, seconds=600, dataset=dataset_of(memorised))
    assert path is not None
    assert json.loads(path.read_bytes())["verdicts"][0]["kind"] == "diverged"


def test_stopped_runs_and_seeds_are_no_obstacle(tmp_path: Path) -> None:
    run = train_on(tmp_path, random_words(60), runtime(max_iters=2, eval_interval=50, seed=3))
    report = report_on(run, request(n_samples=2))
    assert report.evaluation.windows is not None
    with pytest.raises(PlaygroundError):
        report_on(run, request("nothing.pt"))
