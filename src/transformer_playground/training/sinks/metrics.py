"""The run's own record: metrics.jsonl and samples.jsonl."""

from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.lines import JsonLines
from transformer_playground.training.events import Event, Sampled
from transformer_playground.training.sinks.rows import event_rows


class MetricsSink:
    """Appends every event but samples as rows; training stops if it cannot."""

    essential = True

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonLines(run.metrics_path)

    def handle(self, event: Event) -> None:
        """Append the event's rows."""
        if isinstance(event, Sampled):
            return
        for row in event_rows(event):
            self._rows.append(row)

    def sync(self) -> None:
        """Rows are on the disk before the checkpoint that counts on them."""
        self._rows.sync()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


class SamplesSink:
    """Appends every sample as a row."""

    essential = False

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonLines(run.samples_path)

    def handle(self, event: Event) -> None:
        """Append a sample's row."""
        if isinstance(event, Sampled):
            for row in event_rows(event):
                self._rows.append({key: row[key] for key in row if key != "event"})

    def sync(self) -> None:
        """Rows are on the disk before the checkpoint that counts on them."""
        self._rows.sync()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
