"""A scaling study: the results of a family, the law fitted to them, and its prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformer_playground.errors import UsageError
from transformer_playground.scaling.family import Family
from transformer_playground.scaling.law import Law, Prediction, fit_law
from transformer_playground.scaling.points import Result


@dataclass(frozen=True)
class Study:
    """What is known of a family.

    Attributes:
        held_out: Result of the size that is predicted.
        law: None if too few runs are finished; `problem` says so.
        prediction: Of the held-out size after the largest budget; None without a law for that.
    """

    family: Family
    results: tuple[Result, ...]
    held_out: Result
    law: Law | None
    prediction: Prediction | None
    problem: str = ""

    @property
    def miss(self) -> float | None:
        """Measured minus predicted loss of the held-out size, once that is trained."""
        if self.prediction is None or self.held_out.loss.mean is None:
            return None
        return self.held_out.loss.mean - self.prediction.loss

    @property
    def is_inside(self) -> bool | None:
        """Whether the measured loss of the held-out size lies in the band."""
        loss = self.held_out.loss.mean
        if self.prediction is None or self.prediction.band is None or loss is None:
            return None
        low, high = self.prediction.band
        return low <= loss <= high

    @property
    def compute_exponent(self) -> float | None:
        """Exponent with which the best number of parameters grows with compute, β / (α + β).

        None without both terms, or with one that does not fall.
        """
        law = self.law
        if law is None or law.size is None or law.tokens is None:
            return None
        alpha, beta = law.size.exponent, law.tokens.exponent
        return beta / (alpha + beta) if alpha > 0 and beta > 0 else None

    @property
    def notes(self) -> list[str]:
        """What limits the law."""
        found = [self.problem] if self.problem else []
        running = sum(result.running for result in self.results)
        missing = sum(result.planned - len(result.runs) for result in self.results) - running
        if running:
            found.append(f"runs of the family that are still in training: {running}")
        if missing:
            found.append(f"{missing} runs of the family are not finished")
        overfit = sum(result.is_overfit for result in (*self.results, self.held_out))
        if overfit:
            found.append(
                f"{overfit} members were best before their end; more tokens of the same text did "
                "not help them, which the law does not describe"
            )
        law = self.law
        if law is not None and len(law.points) < sum(
            each.point is not None for each in self.results
        ):
            kept = "the largest budget" if law.size is not None else "the largest size"
            found.append(f"three budgets and three sizes give both terms; only {kept} counts here")
        if law is not None and law.error is None:
            found.append("as many points as coefficients: no band; add sizes, budgets or seeds")
        return found


def study_of(family: Family, results: Sequence[Result], held_out: Result) -> Study:
    """Fit a law to the results, as far as there are enough."""
    points = [point for result in results if (point := result.point) is not None]
    try:
        law = fit_law(points)
    except UsageError as error:
        return Study(family, tuple(results), held_out, None, None, error.message)
    member = held_out.member
    is_for = law.is_for(member.shape.parameters, member.tokens)
    prediction = law.predict(member.shape.parameters, member.tokens) if is_for else None
    return Study(family, tuple(results), held_out, law, prediction)
