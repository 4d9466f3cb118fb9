"""What a metrics file says, row by row: the plain definition that the columns are held against."""

from collections.abc import Iterable
from pathlib import Path

from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.metrics import MEASUREMENTS, read_raw_rows


class Timeline:
    """The rows that still hold after every resume.

    A `resume` row at step N drops the rows after N, for training went back there; only earlier
    `resume` rows stay. Of two measurements with the same event and step the later holds.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._count = 0

    def extend(self, rows: Iterable[Row]) -> None:
        """Take in further rows in file order."""
        for row in rows:
            event, step = row["event"], row["step"]
            if event == "resume":
                self._rows = {
                    key: kept
                    for key, kept in self._rows.items()
                    if key[1] <= step or key[0] == "resume"
                }
            self._count += 1
            is_measurement = event in MEASUREMENTS
            self._rows[(event, step, 0 if is_measurement else self._count)] = row

    @property
    def rows(self) -> list[Row]:
        """The rows in order."""
        return list(self._rows.values())


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file that still hold (see `Timeline`); an absent file has none."""
    timeline = Timeline()
    timeline.extend(read_raw_rows(path))
    return timeline.rows
