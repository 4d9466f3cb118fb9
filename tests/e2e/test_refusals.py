"""What is wrong with a request is said before the libraries that models take are loaded."""

import json
import sys

import pytest

from builders.commands import Project
from builders.runs import make_run

HEAVY = {"torch", "transformers", "peft", "matplotlib"}
SCRIPT = """\
import json, sys
from transformer_playground.cli.main import run
sys.argv = {argv!r}
try:
    run()
finally:
    print(json.dumps(sorted({heavy!r} & sys.modules.keys())), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["generate", "--run-id", "fisrt"], "no run 'fisrt'"),
        (["generate", "--run-id", "first"], "no checkpoint"),
        (["generate", "--run-id", "first", "--top-p", "2"], "top_p"),
        (["sample", "first", "--checkpoint", "none.pt"], "no checkpoint 'none.pt'"),
        (["report", "--run-id", "fisrt"], "no run 'fisrt'"),
        (["report", "--run-id", "first"], "no checkpoint"),
        (["report", "--run-id", "first", "--dataset", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_cannot_be_drawn_from_is_refused_at_once(
    project: Project, words: list[str], said: str
) -> None:
    make_run(project.root / "runs", "first")
    source = SCRIPT.format(argv=["tp", *words], heavy=HEAVY)
    ended = project.child(sys.executable, "-c", source)
    assert ended.code in (1, 2)
    assert said in ended.err
    assert json.loads(ended.err.splitlines()[-1]) == []
