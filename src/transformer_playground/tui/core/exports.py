"""Exports of runs from the console: one at a time, each in a process of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from transformer_playground.errors import UsageError
from transformer_playground.export.request import ExportRequest
from transformer_playground.tui.core.tp_process import TpProcess

State = Literal["running", "stopping", "done", "failed", "stopped"]


class ExportJob:
    """One export; `work` is the body of a worker thread.

    Attributes:
        state: What the export does, or how it ended.
        text: The last sentence about it: progress, result or error. Untrusted.
    """

    def __init__(self, run_id: str, request: ExportRequest, process: TpProcess) -> None:
        self.run_id, self.request = run_id, request
        self.state: State = "running"
        self.text = f"starting the export to {request.target} ({request.weights})"
        self._process = process

    @property
    def has_ended(self) -> bool:
        return self.state not in ("running", "stopping")

    def stop(self) -> None:
        """Let the export clean up and end; does not block."""
        if not self.has_ended:
            self.state = "stopping"
            self.text = "stopping …"
            self._process.interrupt()

    def work(self) -> None:
        """Export, and keep the result or the error."""
        try:
            ended = self._process.run(self._on_note)
        except OSError as error:
            self._end("failed", f"The export cannot be started: {error.strerror}.")
            return
        if ended is not None and ended.code == 0:
            # It may have been complete before it could be stopped.
            self._end("done", ended.output.strip())
        elif ended is None or self._process.is_stopped:
            self._end("stopped", "The export was stopped; nothing was written.")
        else:
            problem = ended.problem or f"The export ended with exit code {ended.code}."
            self._end("failed", f"{problem} {ended.hint}".strip())

    def _on_note(self, note: str) -> None:
        if self.state == "running":
            self.text = note

    def _end(self, state: State, text: str) -> None:
        # The text first: whoever sees that the export has ended shows it.
        self.text = text
        self.state = state


class Exports:
    """Starts exports; one at a time, because each needs the memory of its model."""

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._folders = experiments_dir, runs_dir
        self._newest: ExportJob | None = None
        self.is_closed = False

    @property
    def active(self) -> ExportJob | None:
        """The export that is running, if there is one."""
        return None if self._newest is None or self._newest.has_ended else self._newest

    def active_of(self, run_id: str) -> ExportJob | None:
        """The running export of this run."""
        job = self.active
        return job if job is not None and job.run_id == run_id else None

    def start(
        self,
        run_id: str,
        request: ExportRequest,
        *,
        threads: int | None = None,
        name_of: Callable[[str], str] = str,
    ) -> ExportJob:
        """A new export; the caller runs its `work` in a thread.

        Args:
            run_id: The run.
            request: What to write.
            threads: Most CPU threads; None for as many as there are cores.
            name_of: What a run is called.

        Raises:
            UsageError: An option does not apply to the target, or an export is running.
        """
        request.check()
        if self.active is not None:
            raise UsageError(
                f"{name_of(self.active.run_id)} is being exported to {self.active.request.target}.",
                "Wait for it, or stop it.",
            )
        arguments = export_arguments(run_id, request, *self._folders)
        self._newest = ExportJob(run_id, request, TpProcess(arguments, threads=threads))
        return self._newest

    def close(self) -> None:
        """Stop what is running; the console ends."""
        self.is_closed = True
        if self.active is not None:
            self.active.stop()


def export_arguments(
    run_id: str, request: ExportRequest, experiments_dir: Path, runs_dir: Path
) -> list[str]:
    """The `tp` command of a request of the console, without `tp` itself."""
    options = {
        "--to": request.target,
        "--checkpoint": request.checkpoint,
        "--dtype": request.dtype,
        "--quantize": request.quantize,
        "--out": request.out,
        "--experiments-dir": experiments_dir,
        "--runs-dir": runs_dir,
    }
    # A value may begin with a dash.
    arguments = [f"{name}={value}" for name, value in options.items() if value is not None]
    arguments += ["--force"] if request.force else []
    arguments += [] if request.verify else ["--no-verify"]
    arguments += ["--custom-code"] if request.custom_code else []
    return ["export", *arguments, "--", run_id]
