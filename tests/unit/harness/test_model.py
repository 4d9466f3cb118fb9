import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from builders.models import lively_model
from builders.serving import break_weights
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.errors import DataError, SamplingError
from transformer_playground.harness.likelihoods import Span, rolling_windows
from transformer_playground.harness.model import HarnessModel
from transformer_playground.harness.tasks import HarnessOptions, task_rows
from transformer_playground.model.gpt import GPT

LETTERS = CharTokenizer(["\n", " ", *"abcdefghijk"])
CONTEXT = 6


@dataclass(frozen=True)
class Asked:
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def model() -> GPT:
    return lively_model(vocab_size=13, block_size=CONTEXT)


@pytest.fixture(scope="module")
def harness(model: GPT) -> HarnessModel:
    return HarnessModel(model, LETTERS, PrepareConfig())


def log_likelihood(model: GPT, before: Sequence[int], token: int) -> float:
    """Of one token after the last ones that the context holds."""
    with torch.inference_mode():
        logits = model(torch.tensor([before[-CONTEXT:]]))
    return float(logits[0, -1].double().log_softmax(-1)[token])


def test_rolling_windows_are_those_of_the_lm_eval_documentation() -> None:
    assert list(rolling_windows(range(10), -1, 4)) == [
        Span((-1,), range(4)),
        Span(range(3, 4), range(4, 8)),
        Span(range(5, 8), range(8, 10)),
    ]
    assert list(rolling_windows([], -1, 4)) == []
    assert list(rolling_windows([7], -1, 4)) == [Span((-1,), [7])]


def test_a_whole_text_is_scored_by_windows_after_a_line_break(
    model: GPT, harness: HarnessModel
) -> None:
    texts = ["abc", "abcdefghijkabc", "", "k"]
    found = harness.loglikelihood_rolling([Asked((text,)) for text in texts])
    for text, value in zip(texts, found, strict=True):
        tokens = LETTERS.encode(f"\n{text}")
        expected = 0.0
        for start in range(1, len(tokens), CONTEXT):
            end = min(start + CONTEXT, len(tokens))
            first = 0 if start == 1 else end - CONTEXT - 1
            expected += sum(
                log_likelihood(model, tokens[first:place], tokens[place])
                for place in range(start, end)
            )
        assert value == pytest.approx(expected, abs=1e-4)


def test_a_continuation_is_scored_after_the_end_of_its_context(
    model: GPT, harness: HarnessModel
) -> None:
    pairs = [("abcdefghijk", "ab"), ("a", " b"), ("", "abc"), ("a ", "b"), (" ", "b")]
    found = harness.loglikelihood([Asked(pair) for pair in pairs])
    for (context, continuation), (value, _) in zip(pairs, found, strict=True):
        before = LETTERS.encode(context or "\n")
        tokens = LETTERS.encode(continuation)
        if context == "a ":
            before, tokens = before[:1], [*before[1:], *tokens]
        # All tokens of the continuation are scored in one pass.
        before = before[-(CONTEXT + 1 - len(tokens)) :]
        expected = sum(
            log_likelihood(model, [*before, *tokens[:place]], token)
            for place, token in enumerate(tokens)
        )
        assert value == pytest.approx(expected, abs=1e-4)


def test_a_continuation_longer_than_the_context_is_divided(harness: HarnessModel) -> None:
    ((value, _),) = harness.loglikelihood([Asked(("\n", "abcdefghijkabc"))])
    (whole,) = harness.loglikelihood_rolling([Asked(("abcdefghijkabc",))])
    assert value == pytest.approx(whole)


def test_greedy_is_what_greedy_decoding_gives(harness: HarnessModel) -> None:
    settings = {"until": [], "max_gen_toks": 3}
    (drawn,) = harness.generate_until([Asked(("ab", settings))])
    other = "a" if drawn[-1] != "a" else "b"
    found = harness.loglikelihood([Asked(("ab", drawn)), Asked(("ab", drawn[:-1] + other))])
    assert [is_greedy for _, is_greedy in found] == [True, False]


def test_generated_texts_end_before_a_stop_text_and_at_their_length(
    model: GPT, harness: HarnessModel
) -> None:
    (whole,) = harness.generate_until([Asked(("abc", {"max_gen_toks": 4, "until": None}))])
    tokens = LETTERS.encode("bc")
    for _ in range(4):
        tokens.append(max(range(13), key=lambda token: log_likelihood(model, tokens, token)))
    # Four tokens of the context are for the new ones, so two are read.
    assert whole == LETTERS.decode(tokens[2:])
    stopped, long, empty = harness.generate_until(
        [
            Asked(("abc", {"max_new_tokens": 4, "until": whole[1]})),
            Asked(("abcdefghijk", {"max_tokens": 20})),
            Asked(("", {"max_gen_toks": 1, "until": ["\n\n"]})),
        ]
    )
    assert stopped == whole[: whole.index(whole[1])]
    assert (len(long), len(empty)) == (20, 1)


def test_samples_of_the_same_context_differ_and_can_be_drawn_again(harness: HarnessModel) -> None:
    settings = {"max_gen_toks": 12, "do_sample": True, "temperature": 5.0}
    drawn = harness.generate_until([Asked(("a", settings))] * 2)
    assert drawn[0] != drawn[1]
    assert harness.generate_until([Asked(("a", settings))] * 2) == drawn
    assert harness.generate_until([]) == []


def test_characters_that_the_tokenizer_lacks_are_named(harness: HarnessModel) -> None:
    with pytest.raises(DataError, match=r"task cannot be encoded.*'z'"):
        harness.loglikelihood([Asked(("a", "z"))])


def test_metrics_are_read_from_the_results_of_lm_eval() -> None:
    results = {
        "results": {
            "one": {"alias": "1", "acc,none": 0.5, "acc_stderr,none": "N/A", "f1,strict": math.pi},
            "all": {"acc,none": 0.25, "word_perplexity,none": math.inf},
        },
        "groups": {
            "all": {"acc,none": 0.25, "acc_stderr,none": 0.125, "word_perplexity,none": math.inf}
        },
        "n-samples": {"one": {"original": 9, "effective": 4}},
        "n-shot": {"one": 2},
        "higher_is_better": {"one": {"acc": True}},
    }
    one, group = task_rows(results, HarnessOptions(seed=7))
    assert one == {
        "task": "one",
        "documents": 4,
        "num_fewshot": 2,
        "seed": 7,
        "chat_template": False,
        "metrics": [
            {
                "metric": "acc",
                "filter": None,
                "value": 0.5,
                "standard_error": None,
                "higher_is_better": True,
            },
            {
                "metric": "f1",
                "filter": "strict",
                "value": math.pi,
                "standard_error": None,
                "higher_is_better": None,
            },
        ],
    }
    assert (group["task"], group["documents"], group["num_fewshot"]) == ("all", None, None)
    accuracy, perplexity = group["metrics"]
    assert accuracy["standard_error"] == 0.125
    assert perplexity["value"] is None


def test_a_model_that_diverged_is_refused() -> None:
    model = lively_model(vocab_size=13)
    break_weights(model)
    broken = HarnessModel(model, LETTERS, PrepareConfig())
    for ask in (
        lambda: broken.loglikelihood_rolling([Asked(("abc",))]),
        lambda: broken.generate_until([Asked(("abc", {}))]),
    ):
        with pytest.raises(SamplingError, match="diverged"):
            ask()
