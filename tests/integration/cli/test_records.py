"""`tp records`: published results with own runs beside them, and a track."""

import re

import pytest

from builders.commands import Project, Tp
from builders.schemas import check
from transformer_playground.data.dataset import check_artifacts
from transformer_playground.records import published
from transformer_playground.records.published import DatasetRecords, Published, Track


@pytest.fixture
def known(project: Project, tp: Tp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of the data set of `tiny`."""
    assert tp("prepare", "tiny").code == 0
    folder = project.root / "experiments" / "tiny" / "datasets"
    whole = Published(
        name="theirs", source="a paper", loss=0.5, measured_on="whole validation split"
    )
    other = Published(name="elsewhere", source="a paper", loss=0.1, measured_on="ten batches")
    track = Track(name="short", title="soon", experiment="tiny", minutes=5.0, threads=1)
    records = DatasetRecords(
        title="Bottles",
        unit="nats per character",
        fingerprint=check_artifacts(folder)["fingerprint"],
        results=(whole, other),
        tracks=(track,),
    )
    monkeypatch.setattr(published, "published", lambda: {"bottles": records})


@pytest.mark.usefixtures("known")
def test_a_track_trains_seeds_once_and_runs_are_placed_by_the_whole_split(
    tp: Tp, project: Project
) -> None:
    few = ("--set", "train.runtime.max_iters=2", "--json")
    first = tp("records", "run", "short", "--seeds", "2", *few)
    assert first.code == 0, first.err
    (document,) = first.lines
    check("records", document)
    (entry,) = document["runs"]
    assert entry["seeds"] == 2
    assert entry["measured_on"] == "whole validation split"
    assert entry["loss"] == pytest.approx(sum(entry["losses"]) / 2)
    assert entry["standard_error"] == pytest.approx(
        abs(entry["losses"][0] - entry["losses"][1]) / 2
    )
    # The same request trains nothing more.
    again = tp("records", "run", "short", "--seeds", "2", *few)
    assert again.lines == first.lines
    assert "started" not in again.err
    # Seeds of the only configuration of an experiment are called by that.
    assert "tiny" in [line.partition("  ")[0] for line in tp("records", "bottles").out.splitlines()]

    # More seeds begin with those there are.
    more = tp("records", "run", "short", "--seeds", "3", *few)
    assert more.err.count("started") == 1
    (extended,) = more.lines[0]["runs"]
    assert extended["seeds"] == 3
    assert set(entry["losses"]) < set(extended["losses"])

    # Those of a recipe before it was edited do not count.
    config = project.experiment / "config.toml"
    before = config.read_text()
    config.write_text(before + "\n[train.optim]\ngrad_clip = 0.125\n")
    edited = tp("records", "run", "short", "--seeds", "2", *few)
    assert edited.err.count("started") == 2
    assert sorted(each["seeds"] for each in edited.lines[0]["runs"]) == [2, 3]
    config.write_text(before)
    # Two recipes of several seeds are two rows, and chance is told in every form.
    both = tp("records", "--track", "short", "--json").lines[0]
    check("records", both)
    assert both["method"] == "welch"
    assert 0 < both["p_value"] <= 1
    sentence = re.compile(r"is best: .* to short-tiny-.*, p (= |< )[0-9.]+ \(Welch's t-test")
    for form in ((), ("--markdown",)):
        ranked = tp("records", "--track", "short", *form).out
        assert sentence.search(ranked)
        assert len(re.findall(r"short-tiny-\S+ and [12] more .*here", ranked)) == 2

    assert tp("train", "tiny", "--run-id", "mine", "--set", "train.runtime.max_iters=8").code == 0
    shown = tp("records", "bottles")
    assert "1 finished runs are not measured" in shown.err
    measured = tp("records", "bottles", "--measure", "--track", "short").out
    lines = [line.split()[0] for line in measured.splitlines() if line]
    assert lines.index("theirs") < lines.index("mine") < lines.index("elsewhere")
    # Two seeds against one run: the spread of the seeds is all that is known.
    assert "mine is best" in measured
    assert " and 2 more" in measured
    assert "t-test with the spread of other seeds" in measured


@pytest.mark.usefixtures("known")
def test_results_are_listed_and_written_as_markdown(tp: Tp) -> None:
    assert "bottles: Bottles; 2 results" in tp("records").out
    markdown = tp("records", "bottles", "--markdown").out
    assert "## bottles" in markdown
    assert markdown.index("| theirs |") < markdown.index("| elsewhere |")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("records", "run", "short", "--minutes", "6"), "has 5 minutes, not 6"),
        (("records", "run", "long"), "There is no track 'long'"),
        (("records", "imagenet"), "There are no records of 'imagenet'"),
        (("records", "run", "short", "--set", "model.n_layer=1,2"), "a track is for one recipe"),
        (("records", "bottles", "--json", "--markdown"), "mutually exclusive"),
        (("records", "--measure"), "--measure has no effect without a data set"),
        (("records", "--limit", "3"), "--limit has no effect without a data set"),
        (("records", "bottles", "--json", "--limit", "3"), "--limit has no effect with --json"),
    ],
)
def test_what_is_no_record_is_refused(tp: Tp, words: tuple[str, ...], sentence: str) -> None:
    ended = tp(*words)

    assert ended.code == 2
    assert sentence in ended.err


@pytest.mark.usefixtures("known")
def test_failed_seeds_are_counted_and_the_exit_code_says_so(tp: Tp) -> None:
    diverges = ("--set", "train.optim.learning_rate=1e30", "--set", "train.optim.grad_clip=0")

    ended = tp("records", "run", "short", "--seeds", "2", *diverges)

    assert ended.code == 1
    assert "2 of 2 runs have failed: tp sweep show short-tiny-" in ended.err
