"""The run's own record: metrics.jsonl and samples.jsonl."""

from transformer_playground.runs.layout import RunFolder
from transformer_playground.runs.metrics import JsonLines
from transformer_playground.training.events import Event, Sampled
from transformer_playground.training.sinks.rows import event_rows


class MetricsSink:
    """Appends every event as a row; training stops if it cannot."""

    essential = True

    def __init__(self, run: RunFolder) -> None:
        self._metrics = JsonLines(run.metrics_path)
        self._samples = JsonLines(run.samples_path)

    def handle(self, event: Event) -> None:
        """Append the event's rows."""
        if isinstance(event, Sampled):
            for row in event_rows(event):
                self._samples.append({key: row[key] for key in row if key != "event"})
            return
        for row in event_rows(event):
            self._metrics.append(row)

    def close(self) -> None:
        """Close both files."""
        self._metrics.close()
        self._samples.close()
