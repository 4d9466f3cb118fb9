import hashlib
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from builders.corpora import STORY, files_of, prepare, prepare_config, prepared, write_raw
from transformer_playground.config.prepare import Download, PrepareConfig
from transformer_playground.data.prepare import dataset_state
from transformer_playground.errors import DataError

CONTENT = (STORY * 5).encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _OneFile(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/story.txt":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _OneFile) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def fetching(
    folder: Path, url: str, sha256: str = SHA256, file: str = "story.txt", **settings: Any
) -> PrepareConfig:
    downloads = {"story": Download(url=url, sha256=sha256, file=file)}
    return prepare_config(folder, downloads=downloads, fetch=("story",), **settings)


def test_a_named_download_is_fetched_verified_and_prepared(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = fetching(tmp_path, f"{server}/story.txt")

    with caplog.at_level(logging.INFO):
        report = prepare(config)

    assert files_of(config.raw_dir) == {"story.txt": CONTENT}
    assert "pinned SHA-256" in report.notes[0]
    assert report.created
    assert "pooch" not in {record.name for record in caplog.records}


def test_a_fetched_file_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    prepare(fetching(tmp_path, f"{server}/story.txt"))

    report = prepare(fetching(tmp_path, f"{server}/gone.txt"))

    assert report.skipped
    assert report.notes == ()


def test_a_missing_download_is_fetched_beside_other_files(server: str, tmp_path: Path) -> None:
    write_raw(tmp_path, STORY)
    config = fetching(tmp_path, f"{server}/story.txt", bundled="tiny_shakespeare")

    prepare(config)

    assert sorted(files_of(config.raw_dir)) == ["input.txt", "story.txt"]


def test_downloads_that_fetch_does_not_name_stay_away(server: str, tmp_path: Path) -> None:
    write_raw(tmp_path, STORY * 5)
    config = fetching(tmp_path, f"{server}/story.txt").model_copy(update={"fetch": ()})

    prepare(config)

    assert sorted(files_of(config.raw_dir)) == ["input.txt"]


def test_a_file_with_another_hash_is_refused_and_not_kept(server: str, tmp_path: Path) -> None:
    config = fetching(tmp_path, f"{server}/story.txt", sha256="0" * 64)

    with pytest.raises(DataError, match="without the pinned SHA-256 0000"):
        prepare(config)

    assert list(config.raw_dir.iterdir()) == []
    assert dataset_state(config) == "missing"


def test_a_file_that_is_not_there_says_where_to_put_it(server: str, tmp_path: Path) -> None:
    config = fetching(tmp_path, f"{server}/gone.txt")

    with pytest.raises(DataError, match=r"gone\.txt could not be downloaded") as raised:
        prepare(config)

    assert str(config.raw_dir / "story.txt") in raised.value.hint
    assert list(config.raw_dir.iterdir()) == []


def test_an_unreachable_network_is_one_sentence_and_leaves_the_old_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    before = files_of(prepared(tmp_path).dataset_dir)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/story.txt"
        config = fetching(tmp_path, url)

        with pytest.raises(DataError) as raised:
            prepare(config)

    assert raised.value.message == f"{url} could not be downloaded."
    assert str(config.raw_dir / "story.txt") in raised.value.hint
    assert files_of(config.dataset_dir) == before


def test_a_file_put_by_hand_is_used_as_it_is(tmp_path: Path) -> None:
    write_raw(tmp_path, STORY * 4, "story.txt")

    report = prepare(fetching(tmp_path, "http://127.0.0.1:9/story.txt"))

    assert "differs from the pinned download" in report.notes[0]
    assert report.train_tokens == int(len(STORY * 4) * 0.9)


def test_a_download_that_prepare_would_never_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"saved as story\.zip"):
        prepare(fetching(tmp_path, "http://127.0.0.1:9/story.zip", file="story.zip"))
