"""Contexts of lm-eval that are chats: rendered, read with their special tokens, and ended."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.hf_tokenizers import chat_tokenizer
from builders.models import lively_model
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.errors import DataError
from transformer_playground.harness.model import HarnessModel
from transformer_playground.model.gpt import GPT
from transformer_playground.serving.prompts import ChatTemplate

QUESTION = {"role": "user", "content": "the dog"}


@dataclass(frozen=True)
class Asked:
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chats")


@pytest.fixture(scope="module")
def harness(folder: Path) -> HarnessModel:
    tokenizer = chat_tokenizer(folder)
    model = lively_model(vocab_size=tokenizer.vocab_size, block_size=64)
    return HarnessModel(model, tokenizer, PrepareConfig(), ChatTemplate.load(folder))


def test_a_chat_is_rendered_for_an_answer_or_to_go_on_with_one(harness: HarnessModel) -> None:
    asked = harness.apply_chat_template([QUESTION])
    assert asked == "<|start|>user\nthe dog<|end|>\n<|start|>assistant\n"
    begun = [QUESTION, {"role": "assistant", "content": "It is"}]
    found = harness.apply_chat_template(begun, add_generation_prompt=False)
    assert found.endswith("<|start|>assistant\nIt is")
    # This template begins with the user.
    with pytest.raises(DataError, match="begin with a user"):
        harness.apply_chat_template(begun[1:])


def test_messages_of_the_system_are_left_out_where_the_template_refuses_them(
    harness: HarnessModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = ChatTemplate.render

    def refusing(self: ChatTemplate, chat: Any, **how: Any) -> str:
        if any(each["role"] == "system" for each in chat):
            raise DataError("no system")
        return render(self, chat, **how)

    monkeypatch.setattr(ChatTemplate, "render", refusing)
    chat = [{"role": "system", "content": "short"}, QUESTION]
    assert harness.apply_chat_template(chat) == harness.apply_chat_template([QUESTION])


def test_names_of_special_tokens_in_a_context_are_these_tokens(
    folder: Path, harness: HarnessModel
) -> None:
    context, template = harness.apply_chat_template([QUESTION]), ChatTemplate.load(folder)
    assert template is not None
    assert isinstance(harness._model, GPT)
    # The line break at the end of the context is scored with the answer, as by lm-eval.
    before, whole = template.encode(context.rstrip()), template.encode(f"{context}the cat")
    with torch.inference_mode():
        scores = harness._model(torch.tensor([whole]))[0].log_softmax(-1)
    expected = sum(
        float(scores[place - 1, whole[place]]) for place in range(len(before), len(whole))
    )
    ((value, _),) = harness.loglikelihood([Asked((context, "the cat"))])
    assert value == pytest.approx(expected, abs=1e-4)
    plain = HarnessModel(harness._model, harness._tokenizer, PrepareConfig())
    ((other, _),) = plain.loglikelihood([Asked((context, "the cat"))])
    assert other != pytest.approx(value, abs=1e-2)


def test_an_answer_ends_where_the_turn_of_the_assistant_ends(
    folder: Path, harness: HarnessModel
) -> None:
    job = harness._job(0, harness.apply_chat_template([QUESTION]), {})
    template = ChatTemplate.load(folder)
    assert template is not None
    assert template.stop_tokens() < job.stop_tokens
