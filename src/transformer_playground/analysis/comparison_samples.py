"""The same question to several runs, one model in memory at a time."""

from transformer_playground.analysis.comparison_sampling import Answer, Question
from transformer_playground.errors import PlaygroundError
from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.sampling import draw, load_run
from transformer_playground.runs.sampling_plan import SampleRequest


def ask(run: RunFolder, question: Question) -> Answer:
    """Load a run's model once, draw all its samples as one batch and let the model go.

    A run that cannot answer says why instead of raising, so that others can go on.
    """
    request = SampleRequest(
        checkpoint=question.checkpoint,
        prompt=question.prompt,
        options=question.settings.model_dump(mode="json"),
    )
    try:
        loaded = load_run(run, request)
        samples = draw(loaded)
    except PlaygroundError as error:
        return Answer(run.run_id, problem=str(error))
    return Answer(
        run_id=run.run_id,
        checkpoint=loaded.checkpoint.name,
        step=loaded.step,
        skipped=loaded.skipped,
        prompt=loaded.prompt.text,
        texts=tuple(sample["text"] for sample in samples),
    )
