"""What the Model view can look at: runs, experiments and checkpoints, and the one to begin with."""

from collections.abc import Iterator

from textual.content import Content

from transformer_playground.formatting import loss_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.core.workspace import focus_of
from transformer_playground.tui.model.reading import FoundStep, Reading, Subject

NOTHING = "nothing"
"""Id of the option that ends a comparison."""

_RUN, _EXPERIMENT = "run", "experiment"
Option = tuple[str, Content]


def subject_here(context: AppContext) -> Subject | None:
    """What the console is at: an experiment in the list, else a run, else the first experiment."""
    workspace, known = context.workspace, context.snapshot.runs
    experiments = [each.name for each in context.snapshot.experiments]
    if workspace.experiment is not None and workspace.experiment in experiments:
        return Subject(workspace.experiment, is_run=False)
    run_id = focus_of(workspace, [*known])
    if run_id is not None:
        return Subject(run_id)
    return Subject(experiments[0], is_run=False) if experiments else None


def subject_id(subject: Subject) -> str:
    """Id of an option: what it is, its name, and a checkpoint's file name if one is meant."""
    kind = _RUN if subject.is_run else _EXPERIMENT
    return "/".join(filter(None, (kind, subject.name, subject.checkpoint)))


def subject_of(chosen: str) -> Subject:
    """The subject of an option."""
    kind, name, *checkpoint = chosen.split("/")
    return Subject(name, kind == _RUN, checkpoint[0] if checkpoint else None)


def subject_options(context: AppContext) -> list[Option]:
    """All runs, the selected ones first, and all experiments."""
    return [*_runs(context, None), *_experiments(context, None)]


def checkpoint_options(reading: Reading) -> list[Option]:
    """The checkpoints of a run, the newest first."""
    return [(each.checkpoint, _checkpoint(each)) for each in reversed(reading.found)]


def other_options(
    context: AppContext, reading: Reading | None, *, is_compared: bool
) -> list[Option]:
    """What a model can be compared with: its run's other checkpoints, runs, and experiments."""
    options: list[Option] = []
    if is_compared:
        options.append((NOTHING, Content("end the comparison")))
    if reading is not None:
        run_id = reading.subject.name
        for each in reversed(reading.found):
            if each.checkpoint != reading.chosen:
                earlier = Subject(run_id, checkpoint=each.checkpoint)
                text = Content.assemble(("this run, ", "$text-muted"), _checkpoint(each))
                options.append((subject_id(earlier), text))
    subject = reading.subject if reading else None
    return [*options, *_runs(context, subject), *_experiments(context, subject)]


def suggested(context: AppContext, reading: Reading | None) -> str | None:
    """The option to begin with: the baseline or another selected run; None = the first."""
    name = reading.subject.name if reading else None
    workspace = context.workspace
    others = [workspace.baseline, *workspace.selected]
    found = next((each for each in others if each is not None and each != name), None)
    return None if found is None else subject_id(Subject(found))


def _runs(context: AppContext, without: Subject | None) -> Iterator[Option]:
    workspace, known = context.workspace, context.snapshot.runs
    first = [each for each in (workspace.baseline, *workspace.selected) if each in known]
    for run_id in dict.fromkeys([*first, *known]):
        if run_id is None or (without is not None and without.is_run and run_id == without.name):
            continue
        mark = "✓ " if run_id in first else "  "
        name = context.name_of(run_id)
        more = "" if name == visible_line(run_id) else f"  {visible_line(run_id)}"
        yield (
            subject_id(Subject(run_id)),
            Content.assemble(mark, name, (more, "$text-muted")),
        )


def _experiments(context: AppContext, without: Subject | None) -> Iterator[Option]:
    for experiment in context.snapshot.experiments:
        subject = Subject(experiment.name, is_run=False)
        if subject != without:
            name = visible_line(experiment.name)
            text = Content.assemble("  ", name, ("  experiment, not trained", "$text-muted"))
            yield subject_id(subject), text


def _checkpoint(found: FoundStep) -> Content:
    step = "" if found.step is None else f"step {found.step:,}  "
    loss = "" if found.val_loss is None else f"val loss {loss_text(found.val_loss)}  "
    return Content.assemble(step, loss, (visible_line(found.checkpoint), "$text-muted"))
