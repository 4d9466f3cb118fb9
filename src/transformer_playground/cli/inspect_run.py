"""`tp inspect`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from transformer_playground.cli.options import (
    AsJson,
    Base,
    DatasetDir,
    ExperimentsDir,
    RunOrExperiment,
    RunsDir,
    check_out,
    refuse_unread,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.files import replace_text
from transformer_playground.jsonvalues import ascii_json, to_jsonable
from transformer_playground.runs.finding import find_run_or_latest
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.terminal import visible, visible_line

if TYPE_CHECKING:
    from transformer_playground.inspection.request import Split, View

_PARTS = "LAYER.HEAD, LAYER.mlp, LAYER.attention or LAYER"
_WINDOWED: Final[tuple["View", ...]] = (
    "text",
    "lens",
    "attribution",
    "attention",
    "ablate",
    "neurons",
    "model",
)
# The views that read an option. Where checkpoints and files are may always be stated.
_READERS: Final[dict[str, tuple["View", ...]]] = {
    "prompt": (*_WINDOWED, "patch"),
    "split": _WINDOWED,
    "window": _WINDOWED,
    "windows": ("neurons",),
    "position": ("lens", "attribution", "attention"),
    "mean": ("ablate",),
    "together": ("ablate",),
    "patch_kind": ("patch",),
}


def inspect_run(
    context: typer.Context,
    run: RunOrExperiment,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", metavar="TEXT", help="Text to look at; FILE:path reads a file."),
    ] = None,
    split: Annotated[
        Literal["train", "val"] | None,
        typer.Option("--split", help="Look at text of this split; default without --prompt: val."),
    ] = None,
    window: Annotated[
        int,
        typer.Option("--window", metavar="N", min=0, help="Window of the split, counted from 0."),
    ] = 0,
    windows: Annotated[
        int,
        typer.Option("--windows", metavar="N", min=1, help="Windows to search for --neurons."),
    ] = 64,
    position: Annotated[
        int,
        typer.Option(
            "--position",
            metavar="N",
            help="Token whose prediction is explained; negative ones count from the end.",
        ),
    ] = -1,
    lens: Annotated[
        bool, typer.Option("--lens", help="What each layer would predict (logit lens).")
    ] = False,
    attribution: Annotated[
        bool,
        typer.Option("--attribution", help="What each head and MLP adds to the logit of a token."),
    ] = False,
    attention: Annotated[bool, typer.Option("--attention", help="Where each head looks.")] = False,
    heads: Annotated[
        bool,
        typer.Option(
            "--heads", help="Scores of heads: previous token, duplicate token, induction."
        ),
    ] = False,
    ablate: Annotated[
        list[str] | None,
        typer.Option(
            "--ablate",
            metavar="PART",
            help=f"The loss without a part: {_PARTS}, or all; repeatable.",
        ),
    ] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="With --ablate: replace by the mean, not by zero.")
    ] = False,
    together: Annotated[
        bool, typer.Option("--together", help="With --ablate: switch off all parts at once.")
    ] = False,
    patch: Annotated[
        str | None,
        typer.Option(
            "--patch",
            metavar="TEXT",
            help="Patch activations of this prompt into --prompt, of the same number of tokens.",
        ),
    ] = None,
    patch_kind: Annotated[
        Literal["residual", "attention", "mlp"],
        typer.Option("--patch-kind", help="Activation that --patch replaces."),
    ] = "residual",
    neurons: Annotated[
        str | None,
        typer.Option(
            "--neurons",
            metavar="LAYER[.N]",
            help="Texts in which neurons of a layer, or one of them, fire most.",
        ),
    ] = None,
    neighbours: Annotated[
        str | None,
        typer.Option("--neighbours", metavar="TOKEN", help="Tokens with similar embeddings."),
    ] = None,
    model: Annotated[
        bool,
        typer.Option(
            "--model",
            help="Modules with parameters, memory, FLOPs and weights; gradients with a text.",
        ),
    ] = False,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            "--checkpoint",
            metavar="NAME",
            help="Checkpoint: auto (best, else last), best, last, a file name, or all; several "
            "show the picture over training.",
        ),
    ] = None,
    svg: Annotated[bool, typer.Option("--svg", help="Draw an SVG picture.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the output to this file."),
    ] = None,
    dataset: DatasetDir = None,
    base: Base = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Look inside a model, layer by layer and head by head.

    Without another view, shows how surprising each token is. Papers and examples: docs/inspect.md.
    """
    from transformer_playground.inspection.request import InspectRequest, View, resolve_inspection

    if svg and json_output:
        raise UsageError("--svg and --json are mutually exclusive.", "Give one of them.")
    asked: dict[View, bool] = {
        "lens": lens,
        "attribution": attribution,
        "attention": attention,
        "heads": heads,
        "ablate": bool(ablate),
        "patch": patch is not None,
        "neurons": neurons is not None,
        "neighbours": neighbours is not None,
        "model": model,
    }
    views: list[View] = [view for view, is_asked in asked.items() if is_asked]
    if len(views) > 1:
        raise UsageError(f"--{views[0]} and --{views[1]} are different views.", "Give one of them.")
    chosen: View = views[0] if views else "text"
    refuse_unread(context, _unread(chosen, prompt, split))
    if out is not None:
        check_out(out)
    request = InspectRequest(
        view=chosen,
        prompt=prompt,
        split=split,
        window=window,
        windows=windows,
        checkpoints=tuple(checkpoint or ("auto",)),
        position=position,
        parts=tuple(ablate or ()),
        mean=mean,
        together=together,
        other=patch,
        patch=patch_kind,
        neurons=neurons or "0",
        token=neighbours or "",
        dataset=dataset,
        experiments_dir=experiments_dir,
        base=base,
        environ=os.environ,
    )
    setup = resolve_inspection(find_run_or_latest(runs_dir, run), request)
    # torch is imported after everything that can fail without it.
    from transformer_playground.inspection.render import render
    from transformer_playground.inspection.svg import picture
    from transformer_playground.inspection.views import inspect_run as look

    document = look(setup, progress=lambda line: note(visible_line(line)))
    if out is not None:
        text = (
            picture(document) if svg else ascii_json(to_jsonable(document)) if json_output else ""
        )
        replace_text(out, text or visible(render(document)) + "\n")
        note(visible_line(f"written: {out}"))
    elif svg:
        say(picture(document).removesuffix("\n"))
    elif json_output:
        say_json(to_jsonable(document))
    else:
        say(render(document))


def _unread(view: "View", prompt: str | None, split: "Split | None") -> dict[str, str]:
    """Parameters that a view of this text does not read, with the reason."""
    unread = {
        # The view of a text has no option of its own.
        name: f"with --{view}" if "text" in readers else f"without {_flags(readers)}"
        for name, readers in _READERS.items()
        if view not in readers
    }
    if prompt is not None:
        return dict.fromkeys(("window", "windows"), "with --prompt") | unread
    if view == "model" and split is None:
        return {"window": "with --model unless --split is given"} | unread
    return unread


def _flags(views: Sequence["View"]) -> str:
    *others, last = (f"--{view}" for view in views)
    return f"{', '.join(others)} or {last}" if others else last
