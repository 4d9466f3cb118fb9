"""Text output of the views of heads, parts, prompts, neurons and modules."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_playground.formatting import (
    UNKNOWN,
    count_text,
    loss_text,
    optional_text,
    percent_text,
    signed_text,
    size_text,
    value_text,
)
from transformer_playground.inspection.glyphs import (
    WIDTH,
    bar,
    height,
    named,
    percent,
    quoted,
    shade,
    tail,
    under_text,
)
from transformer_playground.tables import Column, table_lines
from transformer_playground.terminal import visible_line

Document = Mapping[str, Any]

_SCORES = (
    ("previous_token", "previous token"),
    ("duplicate_token", "duplicate token"),
    ("induction", "induction"),
)
_MOST_ROWS = 24
_MOST_TOKENS = 40
_MOST_LAYERS = 32


def steps(checkpoints: Sequence[Document]) -> list[Column]:
    """The first columns of a table over checkpoints."""
    return [Column("step", [f"{each['step']:,}" for each in checkpoints], right_aligned=True)]


def heads(result: Document, _: Document) -> list[str]:
    """Scores of each head, with the highest of each kind marked."""
    grid: list[list[float]] = result["induction"]
    names = [(layer, head) for layer, row in enumerate(grid) for head in range(len(row))]
    names = _strongest(result, names)
    columns = [Column("head", [f"{layer}.{head}" for layer, head in names])]
    for key, title in _SCORES:
        values = [result[key][layer][head] for layer, head in names]
        columns += [
            Column(title, [f"{value:.3f}" for value in values], right_aligned=True),
            Column("", [bar(value, 1.0, 10) for value in values]),
        ]
    return [
        "scores on random tokens that are repeated once, 0 to 1",
        "",
        *table_lines(columns, WIDTH),
    ]


def _strongest(result: Document, names: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of many heads those with the highest scores, in their order."""

    def highest(place: tuple[int, int]) -> float:
        scores: list[float] = [result[key][place[0]][place[1]] for key, _ in _SCORES]
        return max(scores)

    return sorted(sorted(names, key=highest, reverse=True)[:_MOST_ROWS])


def heads_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """The highest score of each kind at each checkpoint, and whose it is."""
    columns = steps(checkpoints)
    for key, title in _SCORES:
        best = [_highest(each["result"][key]) for each in checkpoints]
        columns += [
            Column(title, [f"{value:.3f} {name}" for value, name in best], right_aligned=True),
            Column("", [bar(value, 1.0, 8) for value, _ in best]),
        ]
    return ["the highest score of each kind, and its head", *table_lines(columns, WIDTH)]


def _highest(grid: Sequence[Sequence[float]]) -> tuple[float, str]:
    return max(
        (value, f"{layer}.{head}")
        for layer, row in enumerate(grid)
        for head, value in enumerate(row)
    )


def ablate(result: Document, document: Document) -> list[str]:
    """What each part is worth, the most needed first; for a single one, by token."""
    found = sorted(result["parts"], key=lambda each: -each["change"])
    top = max((abs(each["change"]) for each in found), default=0.0)
    columns = [
        Column("without", [_part(each["part"]) for each in found]),
        Column("loss", [loss_text(each["loss"]) for each in found], right_aligned=True),
        Column("change", [signed_text(each["change"], loss_text) for each in found], True),
        Column("better", [bar(-each["change"], top, 8).rjust(8) for each in found]),
        Column("worse", [bar(each["change"], top, 14) for each in found]),
        Column("then", [_first(each["likeliest"]) for each in found]),
    ]
    lines = [
        f"loss {loss_text(result['loss'])} nats per token whole, then "
        f"{_first(result['likeliest'])}; outputs replaced by "
        f"{'zero' if result['replacement'] == 'zero' else 'their mean'}",
        "",
        *table_lines(columns, WIDTH),
    ]
    if len(found) > 1:
        return lines
    changes: list[float | None] = found[0]["changes"]
    marks = [" " if each is None else height(each, 3.0) for each in changes]
    return [
        *lines,
        "",
        "loss added at each token, full block = 3 nats or more",
        *under_text(document["text"]["token_texts"], marks),
    ]


def _part(names: str) -> str:
    return " + ".join(map(_part_name, names.split(" + ")))


def _part_name(name: str) -> str:
    layer, _, part = name.partition(".")
    if not part:
        return f"layer {layer}"
    return f"head {name}" if part.isdigit() else f"{part} {layer}"


def _first(likeliest: Sequence[Document]) -> str:
    return f"{named(likeliest[0], 8)} {percent(likeliest[0]['probability'])}"


def ablate_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """The cost of each part at each checkpoint."""
    last = checkpoints[-1]["result"]["parts"]
    order = sorted(range(len(last)), key=lambda place: -last[place]["change"])[:_MOST_ROWS]
    columns = [Column("loss without", [_part(last[place]["part"]) for place in order])]
    for each in checkpoints:
        values = [each["result"]["parts"][place]["change"] for place in order]
        cells = [signed_text(value, loss_text) for value in values]
        columns.append(Column(f"step {each['step']:,}", cells, True, weight=each["step"]))
    return table_lines(columns, WIDTH)


def patch(result: Document, document: Document) -> list[str]:
    """How much of the other answer each position brings, layer by layer."""
    base, source = named(result["base_answer"]), named(result["source_answer"])
    if result["recovered"] is None:
        return [f"Both prompts are continued with {base}: there is no other answer to recover."]
    grid: list[list[float]] = result["recovered"]
    texts, others = document["text"]["token_texts"], result["other"]["token_texts"]
    rows = list(range(len(texts)))
    if len(rows) > _MOST_TOKENS:
        rows = sorted(sorted(rows, key=lambda t: -max(row[t] for row in grid))[:_MOST_TOKENS])
    best = [max(range(len(grid)), key=lambda layer, t=t: grid[layer][t]) for t in rows]  # type: ignore[misc]
    columns = [
        Column("at", [str(t) for t in rows], right_aligned=True),
        Column("token", [quoted(texts[t]) for t in rows]),
        Column("other", [quoted(others[t]) if texts[t] != others[t] else "" for t in rows]),
        Column(
            f"layer 0-{len(grid) - 1}",
            ["".join(shade(row[t]) for row in grid[:_MOST_LAYERS]) for t in rows],
        ),
        Column("most", [f"{max(row[t] for row in grid):.0%}" for t in rows], right_aligned=True),
        Column("in layer", [str(layer) for layer in best], right_aligned=True),
    ]
    what = {"residual": "residual stream", "attention": "attention", "mlp": "MLP output"}
    return [
        f"the prompt is continued with {base}, the other one with {source}",
        f"way from one to the other if the {what[result['kind']]} of one layer and position",
        "is the other's: ░ 25% ▒ 50% ▓ 75% █ 100%",
        "",
        *table_lines(columns, WIDTH),
    ]


def patch_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """Both answers at each checkpoint, and where patching recovers the other."""
    results = [each["result"] for each in checkpoints]
    columns = [
        *steps(checkpoints),
        Column("answer", [named(each["base_answer"]) for each in results]),
        Column("other answer", [named(each["source_answer"]) for each in results]),
        Column("logits apart", [_apart(each) for each in results], right_aligned=True),
    ]
    return table_lines(columns, WIDTH)


def _apart(result: Document) -> str:
    return f"{result['source_difference'] - result['base_difference']:.3f}"


def neurons(result: Document, _: Document) -> list[str]:
    """The places where neurons fire most, with the token in brackets."""
    places = [
        (str(neuron["neuron"]) if n == 0 else "", place)
        for neuron in result["neurons"]
        for n, place in enumerate(neuron["firings"])
    ]
    columns = [
        Column("neuron", [name for name, _ in places], right_aligned=True),
        Column("active", [f"{place['activation']:.2f}" for _, place in places], right_aligned=True),
        Column("at the [token]", [_context(place, WIDTH - 20) for _, place in places]),
    ]
    count = result["windows"]
    return [
        f"layer {result['layer']}, most active in {count:,} window{'' if count == 1 else 's'}",
        "",
        *table_lines(columns, WIDTH),
    ]


def _context(place: Document, width: int) -> str:
    middle = f"[{visible_line(place['token'])}]"
    before = tail(place["before"], width * 3 // 5)
    return f"{before}{middle}{visible_line(place['after'])}"


def neurons_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """The most active neurons at each checkpoint."""
    cells = [
        "  ".join(
            f"{each['neuron']} {named({'text': each['firings'][0]['token'], 'token': 0}, 6)}"
            for each in checkpoint["result"]["neurons"]
        )
        for checkpoint in checkpoints
    ]
    return table_lines([*steps(checkpoints), Column("neurons that fire most", cells)], WIDTH)


def neighbours(result: Document, _: Document) -> list[str]:
    """Tokens by the cosine of their embedding."""
    found = result["neighbours"]
    columns = [
        Column("token", [named(each) for each in found]),
        Column("cosine", [f"{each['similarity']:.3f}" for each in found], right_aligned=True),
        Column("", [bar(each["similarity"], 1.0, 30) for each in found]),
    ]
    return [f"nearest embeddings of {named(result['token'])}", "", *table_lines(columns, WIDTH)]


def neighbours_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """The nearest tokens at each checkpoint."""
    cells = [
        "  ".join(
            f"{named(near)} {near['similarity']:.2f}" for near in each["result"]["neighbours"][:5]
        )
        for each in checkpoints
    ]
    return table_lines([*steps(checkpoints), Column("nearest", cells)], WIDTH)


def model(result: Document, _: Document) -> list[str]:
    """The tree of modules, and the size of weights."""
    modules = result["modules"]
    top = max((each["share"] for each in modules[1:]), default=1.0)
    sizes = _sizes(result)
    columns = [
        Column("module", [_module_name(each) for each in modules], shrink_last=True),
        Column("shape", [_shape(each) for each in modules]),
        Column("params", [count_text(each["parameters"]) for each in modules], right_aligned=True),
        Column("share", [percent_text(each["share"]) for each in modules], right_aligned=True),
        Column("", [bar(each["share"], top, 8) for each in modules], weight=1),
        Column("flop", [count_text(each["flop_per_token"]) for each in modules], True, weight=2),
        *(
            Column(title, [_size_of(each, sizes, key) for each in modules], True)
            for title, key in (
                ("weight", "weight_rms"),
                ("gradient", "gradient_rms"),
                ("upd/w", "relative_update"),
            )
            if any(each[key] is not None for each in result["weights"])
        ),
    ]
    trained = (
        ""
        if result["trainable"] == result["parameters"]
        else (f" ({count_text(result['trainable'])} trained)")
    )
    lines = [
        f"{result['parameters']:,} parameters{trained} · {size_text(result['bytes'])} · "
        f"per token {count_text(result['flop_per_token'])} FLOP forward, "
        f"cache {size_text(result['cache_bytes_per_token'])}",
    ]
    if result["loss"] is not None:
        count = result["windows"]
        text = f"these {count} windows" if count > 1 else "this text"
        lines.append(f"gradient of the loss {loss_text(result['loss'])} on {text}")
    dead = result["dead_units"]
    if dead is not None and any(dead):
        neurons = [each["neurons"] for each in modules if each["neurons"] is not None]
        shown = ", ".join(
            f"{silent} of {units:,} in layer {n}"
            for n, (silent, units) in enumerate(zip(dead, neurons, strict=True))
            if silent
        )
        lines.append(f"neurons that are silent: {shown}")
    return [*lines, "", *table_lines(columns, WIDTH)]


def _sizes(result: Document) -> dict[str, Document]:
    return {each["name"]: each for each in result["weights"]}


def _module_name(module: Document) -> str:
    name = module["name"]
    depth = name.count(".") + 1 if name else 0
    own: str = name.rpartition(".")[2] if name else module["kind"]
    return "  " * depth + own


def _shape(module: Document) -> str:
    shape = next(iter(module["shapes"].values()), None)
    return "" if shape is None else "×".join(map(str, shape))


def _size_of(module: Document, sizes: Mapping[str, Document], key: str) -> str:
    name = next(iter(module["shapes"]), None)
    if name is None:
        return ""
    found = sizes.get(f"{module['name']}.{name}" if module["name"] else name)
    return "" if found is None else optional_text(found[key], value_text)


def model_history(checkpoints: Sequence[Document], _: Document) -> list[str]:
    """The update of each matrix since the checkpoint before, in proportion to its weights."""
    matrices = [
        each["name"] for each in checkpoints[-1]["result"]["weights"] if len(each["shape"]) > 1
    ]
    columns = [Column("update / weight", matrices, shrink_last=True)]
    for each in checkpoints[1:]:
        sizes = _sizes(each["result"])
        cells = [
            optional_text(sizes[name]["relative_update"], value_text, UNKNOWN) for name in matrices
        ]
        columns.append(Column(f"to {each['step']:,}", cells, True, weight=each["step"]))
    return table_lines(columns, WIDTH)
