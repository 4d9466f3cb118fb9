"""Text output of `tp inspect`: what one checkpoint says, and the picture over several."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformer_playground.formatting import counted, loss_text, optional_text, signed_text
from transformer_playground.inspection import render_parts as parts
from transformer_playground.inspection.glyphs import (
    WIDTH,
    bar,
    bits,
    height,
    heights,
    named,
    percent,
    quoted,
    tail,
    under_text,
)
from transformer_playground.tables import Column, table_lines

Document = Mapping[str, Any]

_MOST_BITS = 8.0
_HARDEST = 8
_NATS = math.log(2)
_SMALLEST_SHOWN, _MOST_PARTS = 5e-4, 16


def render(document: Document) -> str:
    """The output for people: at most 80 cells wide, without control characters."""
    checkpoints: Sequence[Document] = document["checkpoints"]
    title, *about = _header(document, checkpoints[-1])
    history: list[str] = []
    if len(checkpoints) > 1:
        history = ["", *_OVER_TRAINING[document["view"]](checkpoints, document)]
        about = ["", *about] if about else []
    view = _VIEWS[document["view"]](checkpoints[-1]["result"], document)
    return "\n".join([title, *history, *about, "", *view])


def _header(document: Document, checkpoint: Document) -> list[str]:
    loss = optional_text(checkpoint["val_loss"], lambda loss: f" · val loss {loss_text(loss)}")
    lines = [
        f"{document['run_id']} · {checkpoint['checkpoint']} · step {checkpoint['step']:,}{loss}"
    ]
    text = document["text"]
    if text is None:
        return lines
    count = len(text["tokens"])
    first, windows = text["window"], checkpoint["result"].get("windows") or 1
    each = ""
    if first is None:
        where = "prompt"
    elif windows == 1:
        where = f"window {first:,} of {text['source']}"
    else:
        where = f"windows {first:,}–{first + windows - 1:,} of {text['source']}"
        each = " each"
    return [*lines, f"{where} · {counted(count, 'token')}{each}"]


def _before(document: Document, position: int, width: int = 20) -> str:
    return tail("".join(document["text"]["token_texts"][: position + 1]), width)


def _text(result: Document, document: Document) -> list[str]:
    texts: list[str] = document["text"]["token_texts"]
    surprisals: list[float | None] = result["surprisals"]
    last = "after the text: " + _likeliest(result["likeliest"][-1])
    if result["loss"] is None:
        return ["A single token has no loss: nothing comes before it.", "", last]
    marks = [" " if each is None else height(each / _NATS, _MOST_BITS) for each in surprisals]
    order = sorted(
        (place for place, each in enumerate(surprisals) if each is not None),
        key=lambda place: -(surprisals[place] or 0.0),
    )[:_HARDEST]
    columns = [
        Column("at", [str(place) for place in order], right_aligned=True),
        Column("after", [_before(document, place - 1) for place in order]),
        Column("token", [quoted(texts[place]) for place in order]),
        Column("bits", [bits(surprisals[place]) for place in order], right_aligned=True),
        Column("p", [percent(result["probabilities"][place]) for place in order], True),
        Column("rank", [f"{result['ranks'][place]:,}" for place in order], right_aligned=True),
        Column("expected", [_likeliest(result["likeliest"][place - 1], 1) for place in order]),
    ]
    return [
        f"loss {loss_text(result['loss'])} nats = {bits(result['loss'], 4)} bits per token",
        "",
        f"surprisal of each token, full block = {_MOST_BITS:.0f} bits or more",
        *under_text(texts, marks),
        "",
        "most surprising",
        *table_lines(columns, WIDTH),
        "",
        last,
    ]


def _likeliest(tokens: Sequence[Document], most: int = 5) -> str:
    return "  ".join(f"{named(each)} {percent(each['probability'])}" for each in tokens[:most])


def _lens(result: Document, document: Document) -> list[str]:
    layers: list[Document] = result["layers"]
    top = max(each["entropy"] for each in layers)
    target = result["target"]
    columns = [
        Column("layer", [str(each["layer"]) for each in layers]),
        *(
            Column(name, [_likeliest(each["likeliest"][n : n + 1]) for each in layers])
            for n, name in enumerate(("likeliest", "second", "third"))
        ),
        Column("bits", [bits(each["entropy"], 1) for each in layers], right_aligned=True),
        Column("entropy", [bar(each["entropy"], top, 8) for each in layers]),
    ]
    if target is not None:
        shown = [percent(each["target_probability"]) for each in layers]
        columns.append(Column(f"p {named(target, 6)}", shown, right_aligned=True))
    follows = "the end" if target is None else named(target)
    return [
        f"logit lens after position {result['position']}, "
        f"“{_before(document, result['position'], 30)}”, then {follows}",
        "",
        *table_lines(columns, WIDTH),
    ]


def _attribution(result: Document, document: Document) -> list[str]:
    named_parts = [("embedding", result["embedding"]), ("biases", result["biases"])]
    for layer, (heads, mlp) in enumerate(zip(result["heads"], result["mlps"], strict=True)):
        named_parts += [(f"head {layer}.{head}", value) for head, value in enumerate(heads)]
        named_parts += [(f"mlp {layer}", mlp)]
    # Without those that would be shown as 0: a model may have neither biases nor MLPs.
    named_parts = [pair for pair in named_parts if abs(pair[1]) >= _SMALLEST_SHOWN]
    named_parts = sorted(named_parts, key=lambda pair: -abs(pair[1]))[:_MOST_PARTS]
    top = max((abs(value) for _, value in named_parts), default=0.0)
    columns = [
        Column("part", [name for name, _ in named_parts]),
        Column(
            "logit", [signed_text(value, lambda v: f"{v:.3f}") for _, value in named_parts], True
        ),
        Column("against", [bar(-value, top, 20).rjust(20) for _, value in named_parts]),
        Column("for", [bar(value, top, 20) for _, value in named_parts]),
    ]
    return [
        f"what gives {named(result['target'])} its logit of {result['logit']:.3f} "
        f"after position {result['position']}, “{_before(document, result['position'])}”",
        "",
        *table_lines(columns, WIDTH),
    ]


def _attention(result: Document, document: Document) -> list[str]:
    texts: list[str] = document["text"]["token_texts"][: result["position"] + 1]
    rows = [
        (f"{layer}.{head}", weights)
        for layer, heads in enumerate(result["weights"])
        for head, weights in enumerate(heads)
    ]
    shown = 36
    columns = [
        Column("head", [name for name, _ in rows]),
        Column(
            f"weight on the last {min(shown, len(texts))} tokens",
            [heights(weights[-shown:], 1.0) for _, weights in rows],
        ),
        Column("most", [percent(max(weights)) for _, weights in rows], right_aligned=True),
        Column("on", [attended(weights, document) for _, weights in rows]),
    ]
    line = "".join(each if len(each) == 1 else "·" for each in texts[-shown:])
    under = "text" if all(len(each) == 1 for each in texts) else ""
    return [
        f"attention of position {result['position']}, “{_before(document, result['position'])}”",
        "",
        *table_lines(columns, WIDTH),
        *([under_text(["text  " + line], [" "])[0][2:]] if under else []),
    ]


def attended(weights: Sequence[float], document: Document, start: int = 0) -> str:
    """Where a head looks most, in words.

    Args:
        weights: Attention to each token of the text up to one of them.
        document: With the text.
        start: Number of its first token.
    """
    text, place = document["text"], max(range(len(weights)), key=weights.__getitem__)
    tokens, position = text["tokens"], len(weights) - 1
    token = quoted(text["token_texts"][place], 8)
    if place == position:
        return f"itself {token}"
    if place == position - 1:
        return f"the token before {token}"
    if tokens[place] == tokens[position]:
        return f"the same token at {place + start:,}"
    if place and tokens[place - 1] == tokens[position]:
        return f"{token} after the same token"
    return f"the first token {token}" if place == 0 else f"{token} at {place + start:,}"


def _text_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    losses = [each["result"]["loss"] for each in checkpoints]
    top = max((loss for loss in losses if loss is not None), default=0.0)
    columns = [
        *parts.steps(checkpoints),
        Column(
            "loss", [optional_text(loss, loss_text, "–") for loss in losses], right_aligned=True
        ),
        Column("bits/token", [bits(loss, 4) for loss in losses], right_aligned=True),
        Column("", [bar(loss or 0.0, top, 20) for loss in losses]),
        Column("then", [_likeliest(each["result"]["likeliest"][-1], 1) for each in checkpoints]),
    ]
    return table_lines(columns, WIDTH)


def _lens_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    first = checkpoints[0]["result"]
    is_known = first["target"] is not None
    key = "target_probability" if is_known else "entropy"
    columns = parts.steps(checkpoints)
    for place, layer in enumerate(first["layers"]):
        values = [each["result"]["layers"][place][key] for each in checkpoints]
        show: Callable[[Any], str] = percent if is_known else bits
        columns.append(Column(str(layer["layer"]), [show(each) for each in values], True))
    what = f"probability of {named(first['target'])}" if is_known else "entropy in bits"
    return [f"{what} after each layer", *table_lines(columns, WIDTH)]


def _attribution_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    results = [each["result"] for each in checkpoints]

    def numbers(title: str, values: Sequence[float]) -> Column:
        return Column(title, [f"{value:+.3f}" for value in values], right_aligned=True)

    columns = [
        *parts.steps(checkpoints),
        Column("token", [named(each["target"]) for each in results]),
        numbers("logit", [each["logit"] for each in results]),
        numbers("embedding", [each["embedding"] for each in results]),
        numbers("heads", [sum(map(sum, each["heads"])) for each in results]),
        numbers("mlps", [sum(each["mlps"]) for each in results]),
        numbers("biases", [each["biases"] for each in results]),
    ]
    return table_lines(columns, WIDTH)


def _attention_history(checkpoints: Sequence[Document], document: Document) -> list[str]:
    weights = checkpoints[-1]["result"]["weights"]
    heads = [(layer, head) for layer, row in enumerate(weights) for head in range(len(row))]
    columns = [Column("head", [f"{layer}.{head}" for layer, head in heads])]
    for each in checkpoints:
        rows = [each["result"]["weights"][layer][head] for layer, head in heads]
        cells = [f"{percent(max(row))} {attended(row, document)}" for row in rows]
        columns.append(Column(f"step {each['step']:,}", cells, weight=each["step"]))
    return table_lines(columns, WIDTH)


_View = Callable[[Document, Document], list[str]]
_VIEWS: dict[str, _View] = {
    "text": _text,
    "lens": _lens,
    "attribution": _attribution,
    "attention": _attention,
    "heads": parts.heads,
    "ablate": parts.ablate,
    "patch": parts.patch,
    "neurons": parts.neurons,
    "neighbours": parts.neighbours,
    "model": parts.model,
}
_OVER_TRAINING: dict[str, Callable[[Sequence[Document], Document], list[str]]] = {
    "text": _text_history,
    "lens": _lens_history,
    "attribution": _attribution_history,
    "attention": _attention_history,
    "heads": parts.heads_history,
    "ablate": parts.ablate_history,
    "patch": parts.patch_history,
    "neurons": parts.neurons_history,
    "neighbours": parts.neighbours_history,
    "model": parts.model_history,
}
