"""The option whose value may be omitted."""

import pytest

from transformer_playground.cli.options import RESUME_LATEST, with_resume_default

LATEST = f"--resume={RESUME_LATEST}"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], []),
        (["train", "tiny"], ["train", "tiny"]),
        (["train", "tiny", "--resume"], ["train", "tiny", LATEST]),
        (["train", "tiny", "--resume", "--json"], ["train", "tiny", LATEST, "--json"]),
        (["train", "--resume", "some-run"], ["train", "--resume", "some-run"]),
        (["train", "--resume=some-run"], ["train", "--resume=some-run"]),
        (["--resume", "--resume"], [LATEST, LATEST]),
    ],
)
def test_a_bare_resume_means_the_latest_run(given: list[str], meant: list[str]) -> None:
    assert with_resume_default(given) == meant
