"""`tp eval`."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from transformer_playground.cli.options import (
    AsJson,
    Base,
    Checkpoint,
    DatasetDir,
    ExperimentsDir,
    RunOrExperiment,
    RunsDir,
    finite,
    refuse_unread,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.harness.tasks import (
    EXAMPLES_SEED,
    PREFIX,
    HarnessOptions,
    HarnessTasks,
)
from transformer_playground.runs.finding import find_run_or_latest
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.generation_request import SampleRequest, prepare_config
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.serving.prompts import ChatTemplate

# The task that reads an option.
_READER: Final = {"order": "ngram", "pairs": "pairs", "n_pairs": "pairs"}
_OF_LM_EVAL: Final = ("include_path", "num_fewshot", "seed", "apply_chat_template", "limit")


def eval_run(
    context: typer.Context,
    run: RunOrExperiment,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME",
            help="ngram (baselines), tokens (the loss of each) or pairs (minimal pairs); default: "
            "these three. Or lm-eval:NAME, a task of lm-eval. Repeatable.",
        ),
    ] = None,
    order: Annotated[
        int, typer.Option("--order", metavar="N", min=1, max=16, help="Longest n-grams.")
    ] = 5,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pairs",
            metavar="SOURCE",
            help="Minimal pairs: text (made from the validation text), en, de, or a file of JSON "
            'lines with "good" and "bad"; repeatable, default: text.',
        ),
    ] = None,
    n_pairs: Annotated[
        int, typer.Option("--n-pairs", metavar="N", min=1, help="Most pairs to make from the text.")
    ] = 200,
    include_path: Annotated[
        Path | None,
        typer.Option(
            "--include-path", metavar="FOLDER", help="Folder of further tasks of lm-eval (YAML)."
        ),
    ] = None,
    num_fewshot: Annotated[
        int | None,
        typer.Option(
            "--num-fewshot",
            metavar="N",
            help="Examples with answers before each question of lm-eval; default: as the task "
            "says.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Seed that chooses these examples.")
    ] = EXAMPLES_SEED,
    apply_chat_template: Annotated[
        bool,
        typer.Option(
            "--apply-chat-template",
            help="Questions of lm-eval as chats, by the tokenizer's template.",
        ),
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(
            "--limit",
            callback=finite,
            metavar="N",
            help="Only the first documents of each task of lm-eval: a number, or a part below 1.",
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    dataset: DatasetDir = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Evaluate beyond the loss: n-grams, tokens, pairs, lm-eval.

    Losses are of the whole validation split. Papers and examples: docs/evaluation.md.
    """
    from transformer_playground.config.run_config import base_model_override
    from transformer_playground.report.request import OWN_TEXT, ReportRequest, resolve_report

    unread = {
        name: f"without --task {reader}"
        for name, reader in _READER.items()
        if task and reader not in task
    }
    named = [each.removeprefix(PREFIX) for each in task or () if each.startswith(PREFIX)]
    own = [each for each in task or () if not each.startswith(PREFIX)]
    if not named:
        unread |= dict.fromkeys(_OF_LM_EVAL, f"without --task {PREFIX}NAME")
    if pairs and OWN_TEXT not in pairs:
        unread.setdefault("n_pairs", f"without --pairs {OWN_TEXT}")
    refuse_unread(context, unread)
    options = HarnessOptions(num_fewshot=num_fewshot, seed=seed, limit=limit)
    found = find_run_or_latest(runs_dir, run)
    sampling = SampleRequest(
        checkpoint=checkpoint, overrides=base_model_override(base), environ=os.environ
    )
    setup = resolve_report(
        found, ReportRequest(sampling=sampling, dataset=dataset, experiments_dir=experiments_dir)
    )
    # torch is imported after everything that can fail without it.
    from transformer_playground.report.task_text import task_text
    from transformer_playground.report.tasks import EvalRequest, run_tasks, tasks_named

    request = EvalRequest(
        tasks=() if named and not own else tasks_named(own),
        order=order,
        pairs=tuple(dict.fromkeys(pairs or (OWN_TEXT,))),
        n_pairs=n_pairs,
    )
    harness = None
    if named:
        if apply_chat_template:
            options = replace(options, chat=_chat_template(found))
        tasks = HarnessTasks(named, include_path)
        harness = partial(tasks.run, prepare=prepare_config(found), options=options, progress=_tell)
    document = run_tasks(setup, request, harness=harness, progress=_tell)
    if json_output:
        say_json(document)
    else:
        say(task_text(document))


def _chat_template(run: RunFolder) -> "ChatTemplate":
    """The chat template of a run.

    Raises:
        UsageError: It has none.
    """
    from transformer_playground.serving.prompts import ChatTemplate

    found = ChatTemplate.load(run.tokenizer)
    if found is None:
        raise UsageError(
            f"The tokenizer of the run '{run.run_id}' has no chat template.",
            "Leave out --apply-chat-template; base models that are made for chats have one.",
        )
    return found


def _tell(line: str) -> None:
    note(visible_line(line))
