import errno
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from builders.corpora import (
    SHORT_SPEECH,
    SPEECH,
    STORY,
    files_of,
    prepare,
    prepare_config,
    prepared,
    protocol,
    write_raw,
)
from transformer_playground.data import dataset as dataset_module
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.meta import read_meta, write_meta
from transformer_playground.data.prepare import dataset_state, prepare_dataset
from transformer_playground.data.progress import Progress
from transformer_playground.data.sources import corpora
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.errors import DataError

COMMAND = "tp prepare tiny"
SPM: dict[str, Any] = {"tokenizer_type": "sentencepiece", "vocab_size": 300}


@pytest.mark.parametrize(
    ("kind", "train", "val"), [("char", 1_003_854, 111_540), ("gpt2", 301_966, 36_059)]
)
def test_tiny_shakespeare_has_the_known_token_counts_and_vocabulary(
    kind: str, train: int, val: int, tmp_path: Path
) -> None:
    config = prepare_config(tmp_path, bundled="tiny_shakespeare", tokenizer_type=kind)

    report = prepare(config)

    assert (report.train_tokens, report.val_tokens) == (train, val)
    assert report.vocab_size == {"char": 65, "gpt2": 50_257}[kind]
    assert "tiny_shakespeare.txt" in report.notes[0]
    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
    assert (len(dataset.train), len(dataset.val)) == (train, val)
    assert dataset.val_bytes == 111_540
    text = corpora.bundled_text("tiny_shakespeare").read_text(encoding="utf-8")
    tokenizer = load_tokenizer(config.dataset_dir)
    assert tokenizer.decode(dataset.train[:].tolist()) == text[:1_003_854]
    assert tokenizer.decode(dataset.val[:].tolist()) == text[1_003_854:]


@pytest.mark.parametrize("settings", [{}, {"tokenizer_type": "gpt2"}, SPM])
def test_what_was_prepared_decodes_to_the_text(settings: dict[str, Any], tmp_path: Path) -> None:
    config = prepared(tmp_path, STORY * 5, **settings)

    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
    tokenizer = load_tokenizer(config.dataset_dir)

    whole = tokenizer.decode(dataset.train[:].tolist()) + tokenizer.decode(dataset.val[:].tolist())
    assert whole == STORY * 5
    assert dataset.vocab_size == tokenizer.vocab_size
    assert dataset.train[:].max() < dataset.vocab_size


@pytest.mark.parametrize("settings", [{}, {"tokenizer_type": "gpt2"}, SPM])
def test_nanogpt_can_read_a_prompt_and_show_a_sample(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config = prepared(tmp_path, STORY * 5, **settings)
    # As its sample.py does.
    with (config.dataset_dir / "meta.pkl").open("rb") as file:
        meta = pickle.load(file)
    stoi, itos = meta["stoi"], meta["itos"]
    ids = [stoi[char] for char in "\nthe cat"]
    assert "".join([itos[index] for index in ids]) == "\nthe cat"
    assert len(itos) == meta["vocab_size"]
    tokenizer = load_tokenizer(config.dataset_dir)
    assert tokenizer.decode(ids) == "\nthe cat"
    assert tokenizer.kind == settings.get("tokenizer_type", "char")


def test_nanogpt_can_read_the_files(tmp_path: Path) -> None:
    config = prepared(tmp_path)

    with (config.dataset_dir / "meta.pkl").open("rb") as file:
        meta = pickle.load(file)
    tokens = np.memmap(config.dataset_dir / "train.bin", dtype=np.uint16, mode="r")

    text = "".join(meta["itos"][int(token)] for token in tokens)
    assert (STORY * 5).startswith(text)
    assert meta["vocab_size"] == len(set(text)) == len(meta["stoi"])


def test_a_second_prepare_skips_everything(tmp_path: Path) -> None:
    config = prepared(tmp_path, **SPM)
    before = files_of(config.dataset_dir)

    report = prepare(config)

    assert (report.created, report.refreshed) == ((), ())
    assert report.skipped == ("train.bin", "val.bin", "spm.model", "meta.pkl")
    assert files_of(config.dataset_dir) == before


def test_the_first_prepare_creates_and_force_refreshes_the_same_bytes(tmp_path: Path) -> None:
    write_raw(tmp_path, STORY * 5)
    config = prepare_config(tmp_path, **SPM)

    first = prepare(config)
    before = files_of(config.dataset_dir)
    forced = prepare(config, force=True)

    assert first.created == ("train.bin", "val.bin", "spm.model", "meta.pkl")
    assert forced.refreshed == first.created
    assert files_of(config.dataset_dir) == before


@pytest.mark.parametrize(
    "change",
    [
        {"val_fraction": 0.2},
        {"doc_separator": "\n"},
        {"tokenizer_type": "gpt2"},
        {"documents": "lines"},
        {"add_structure_tokens": True},
        {"val_split": "text_end"},
    ],
)
def test_changed_settings_rebuild(change: dict[str, Any], tmp_path: Path) -> None:
    prepared(tmp_path)
    config = prepare_config(tmp_path, **change)

    assert dataset_state(config) == "stale"
    assert prepare(config).refreshed == ("train.bin", "val.bin", "meta.pkl")
    assert dataset_state(config) == "prepared"


def test_each_language_of_a_corpus_is_in_the_validation_text(tmp_path: Path) -> None:
    for letter in "abcdefghij":
        write_raw(tmp_path, letter * 100, f"{letter}.txt")
    report = prepare(prepare_config(tmp_path, doc_separator=""))
    val = np.fromfile(tmp_path / "datasets" / "val.bin", dtype=np.uint16)
    assert (len(val), len(set(val))) == (100, 10)
    assert report.notes == (
        "for validation: the last 10% of each of the 10 files (prepare.val_split)",
    )
    chosen = prepare_config(tmp_path, tokenizer_type="gpt2", val_split="random_documents")
    (note,) = prepare(chosen).notes
    assert "10% of the documents, chosen at random" in note
    reseeded = prepare_config(tmp_path, tokenizer_type="gpt2", val_split="random_documents", seed=5)
    assert (dataset_state(chosen), dataset_state(reseeded)) == ("prepared", "stale")


def test_a_dataset_of_several_files_of_an_older_version_stays_current(tmp_path: Path) -> None:
    write_raw(tmp_path, STORY * 3, "a.txt")
    write_raw(tmp_path, STORY * 3, "b.txt")
    older = prepare_config(tmp_path, val_split="text_end")
    prepare(older)
    path = tmp_path / "datasets" / "meta.pkl"
    meta = read_meta(path)
    # Older versions had no such setting.
    del meta["settings"]["val_split"]
    write_meta(path, meta)
    assert prepare(prepare_config(tmp_path)).skipped


def test_settings_that_do_not_shape_this_dataset_change_nothing(tmp_path: Path) -> None:
    prepared(tmp_path)
    config = prepare_config(tmp_path, seed=7, vocab_size=999, character_coverage=0.99)

    assert dataset_state(config) == "prepared"
    assert prepare(config).skipped


@pytest.mark.parametrize("change", ["edited", "added", "renamed", "removed"])
def test_changed_inputs_rebuild(change: str, tmp_path: Path) -> None:
    write_raw(tmp_path, STORY, "a.txt")
    config = prepared(tmp_path)
    raw = config.raw_dir
    if change == "edited":
        write_raw(tmp_path, STORY.swapcase(), "a.txt")
    elif change == "added":
        write_raw(tmp_path, STORY, "z.txt")
    elif change == "renamed":
        (raw / "a.txt").rename(raw / "b.txt")
    else:
        (raw / "a.txt").unlink()

    assert dataset_state(config) == "stale"
    assert prepare(config).refreshed


def test_hidden_and_other_files_do_not_count(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    write_raw(tmp_path, "x", ".hidden.txt")
    write_raw(tmp_path, "x", "notes.md")
    (config.raw_dir / "folder.txt").mkdir()

    assert prepare(config).skipped


def test_the_state_is_missing_before_and_stale_after_damage(tmp_path: Path) -> None:
    write_raw(tmp_path, STORY * 5)
    config = prepare_config(tmp_path)

    assert dataset_state(config) == "missing"
    assert not config.dataset_dir.exists()
    prepare(config)
    assert dataset_state(config) == "prepared"
    (config.dataset_dir / "val.bin").unlink()
    assert dataset_state(config) == "stale"


def test_a_flipped_byte_is_mended_by_the_next_prepare(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    whole = files_of(config.dataset_dir)
    path = config.dataset_dir / "train.bin"
    path.write_bytes(b"\x05" + whole["train.bin"][1:])

    assert prepare(config).refreshed
    assert files_of(config.dataset_dir) == whole


def test_a_new_tokenizer_leaves_no_old_model_behind(tmp_path: Path) -> None:
    prepared(tmp_path, **SPM)

    prepare(prepare_config(tmp_path))

    assert sorted(files_of(tmp_path / "datasets")) == ["meta.pkl", "train.bin", "val.bin"]


def test_files_of_others_in_the_dataset_folder_are_left_alone(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    (config.dataset_dir / "notes.md").write_text("mine")
    (config.dataset_dir / "more").mkdir()

    prepare(config, force=True)

    assert (config.dataset_dir / "notes.md").read_text() == "mine"
    assert (config.dataset_dir / "more").is_dir()


def test_the_vocabulary_comes_from_the_training_part_alone(tmp_path: Path) -> None:
    write_raw(tmp_path, "abcd" * 25 + "abбcdé" * 2)
    config = prepare_config(tmp_path)

    report = prepare(config)

    assert report.vocab_size == 4
    (note,) = report.notes
    assert "4 characters" in note
    assert "'б' ×2" in note
    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
    assert dataset.val_bytes == len(dataset.val) == report.val_tokens


def test_a_sentencepiece_model_never_sees_the_validation_text(tmp_path: Path) -> None:
    config = prepared(tmp_path / "one", STORY * 10, **SPM)
    other = prepared(tmp_path / "two", STORY * 9 + "ж" * len(STORY), **SPM)

    assert (config.dataset_dir / "spm.model").read_bytes() == (
        other.dataset_dir / "spm.model"
    ).read_bytes()


def test_lines_are_documents_with_start_and_end(tmp_path: Path) -> None:
    text = "\n".join(f"the cat counts to {number}" for number in range(40))
    config = prepared(tmp_path, text, documents="lines", **SPM)

    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)

    assert dataset.train[0] == 1
    assert dataset.train[-1] == 2
    assert (dataset.train[:] == 1).sum() == (dataset.train[:] == 2).sum() == 36
    assert (dataset.val[:] == 2).sum() == 4
    decoded = load_tokenizer(config.dataset_dir).decode(dataset.val[:].tolist())
    assert dataset.val_bytes == len(decoded) + 4
    assert dataset.val_bytes_per_token == pytest.approx(dataset.val_bytes / len(dataset.val))


def test_protocols_become_speeches_with_markers(tmp_path: Path) -> None:
    write_raw(tmp_path, protocol(SPEECH, SHORT_SPEECH), "20213.xml")
    write_raw(tmp_path, "Zum Schluss ein Satz.\n" * 9, "z.txt")
    config = prepare_config(
        tmp_path, add_structure_tokens=True, doc_separator="</s>", **SPM | {"vocab_size": 340}
    )

    prepare(config)

    tokenizer = load_tokenizer(config.dataset_dir)
    tokens = open_dataset(config.dataset_dir, prepare_command=COMMAND).train[:]
    (marker,) = tokenizer.encode("<|rede|>")
    assert tokens[0] == marker
    assert (tokens == marker).sum() == 3
    assert (tokens == tokenizer.eos_id).sum() == 2
    assert "<|partei|>Blaue Liste" in tokenizer.decode(tokens.tolist())


def test_the_same_text_has_the_same_fingerprint_anywhere(tmp_path: Path) -> None:
    folders = [prepared(tmp_path / name).dataset_dir for name in ("one", "two")]
    other = prepared(tmp_path / "three", STORY * 5 + "!").dataset_dir

    first, second, third = (
        open_dataset(folder, prepare_command=COMMAND).fingerprint for folder in (*folders, other)
    )

    assert first == second != third


def test_equal_token_files_of_other_characters_have_another_fingerprint(tmp_path: Path) -> None:
    one = prepared(tmp_path / "one", "abab" * 20).dataset_dir
    two = prepared(tmp_path / "two", "cdcd" * 20).dataset_dir

    assert files_of(one)["train.bin"] == files_of(two)["train.bin"]
    assert read_meta(one / "meta.pkl")["fingerprint"] != read_meta(two / "meta.pkl")["fingerprint"]


def test_an_empty_raw_folder_is_seeded_once_and_then_the_users(tmp_path: Path) -> None:
    config = prepare_config(tmp_path, bundled="tiny_shakespeare")
    seen: list[str] = []
    prepare_dataset(config, report=seen.append)
    write_raw(tmp_path, STORY * 5, "tiny_shakespeare.txt")

    report = prepare(config)

    assert any("copied the bundled" in line for line in seen)
    assert report.notes == ()
    assert report.train_tokens == int(len(STORY * 5) * 0.9)


def test_text_of_the_user_keeps_the_bundled_text_away(tmp_path: Path) -> None:
    config = prepared(tmp_path, bundled="tiny_shakespeare")

    assert [path.name for path in config.raw_dir.iterdir()] == ["input.txt"]


@pytest.mark.parametrize("bundled", ["tiny_shakespeare", None])
def test_the_copy_of_the_bundled_text_is_left_out_beside_the_users(
    bundled: str | None, tmp_path: Path
) -> None:
    prepare(prepare_config(tmp_path, bundled="tiny_shakespeare"))
    write_raw(tmp_path, STORY * 5, "mine.txt")
    config = prepare_config(tmp_path, bundled=bundled)

    assert dataset_state(config) == "stale"
    report = prepare(config)

    assert report.train_tokens == int(len(STORY * 5) * 0.9)
    (note,) = report.notes
    assert "left out tiny_shakespeare.txt" in note
    assert prepare(config).skipped
    assert dataset_state(config) == "prepared"


def test_another_bundled_text_replaces_the_copy_of_the_first(tmp_path: Path) -> None:
    prepare(prepare_config(tmp_path, bundled="tiny_shakespeare"))
    config = prepare_config(tmp_path, bundled="bundestag_sample")
    assert dataset_state(config) == "stale"
    assert prepare(config).refreshed
    (recorded,) = read_meta(config.dataset_dir / "meta.pkl")["inputs"]
    assert recorded["name"] == "bundestag_sample.txt"


def test_an_older_dataset_with_the_bundled_text_beside_the_users_stays_current(
    tmp_path: Path,
) -> None:
    seed = prepare_config(tmp_path, bundled="tiny_shakespeare")
    prepare(seed)
    write_raw(tmp_path, STORY * 5, "mine.txt")
    # Under another name it counts as the user's, as it did in older versions.
    copy = tmp_path / "raw" / "tiny_shakespeare.txt"
    copy.rename(copy.with_name("z.txt"))
    prepare(seed)
    (copy.with_name("z.txt")).rename(copy)
    path = seed.dataset_dir / "meta.pkl"
    meta = read_meta(path)
    meta["inputs"][1]["name"] = "tiny_shakespeare.txt"
    write_meta(path, meta)

    assert dataset_state(seed) == "prepared"
    report = prepare(seed)

    assert report.skipped
    assert "also contains the bundled text tiny_shakespeare.txt" in report.notes[0]
    assert prepare(seed, force=True).train_tokens == int(len(STORY * 5) * 0.9)


@pytest.mark.parametrize(
    "name", ["mein Text.md", "chat.json", "NOTES.TEXT", "no_suffix", "table.csv", "sub/deep.txt"]
)
@pytest.mark.parametrize("is_copied", [False, True])
def test_the_bundled_text_never_replaces_a_text_that_cannot_be_read(
    name: str, is_copied: bool, tmp_path: Path
) -> None:
    config = prepare_config(tmp_path, bundled="tiny_shakespeare")
    if is_copied:
        prepare(config)
    before = files_of(config.dataset_dir) if is_copied else {}
    write_raw(tmp_path, STORY, name)

    for act in (prepare, dataset_state):
        if act is prepare or is_copied:
            with pytest.raises(DataError, match=name.partition("/")[0]) as raised:
                act(config)
            assert ".txt" in raised.value.hint
    assert not (is_copied and files_of(config.dataset_dir) != before)
    assert is_copied or not (tmp_path / "raw" / "tiny_shakespeare.txt").exists()


def test_files_about_the_texts_do_not_keep_the_bundled_text_away(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE", ".gitkeep"):
        write_raw(tmp_path, "Put your texts here.", name)
    (tmp_path / "raw" / "empty").mkdir()
    report = prepare(prepare_config(tmp_path, bundled="tiny_shakespeare"))
    assert report.created


def test_what_is_not_read_is_named_with_the_reason(tmp_path: Path) -> None:
    write_raw(tmp_path, "x", ".hidden.txt")
    write_raw(tmp_path, "x", "notes.md")
    write_raw(tmp_path, "x", ".gitignore")
    write_raw(tmp_path, "x", "old/a.txt")
    (tmp_path / "raw" / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "raw" / "pipe.txt")
    write_raw(tmp_path, STORY * 5)
    config = prepare_config(tmp_path)
    for _ in range(2):
        (note,) = prepare(config).notes
        assert note.partition(": ")[2] == (
            ".hidden.txt (hidden), gone.txt (a link without a target), "
            "notes.md (not .txt, .xml, .jsonl or .parquet), old (a folder), "
            "pipe.txt (not a regular file)"
        )


def _no_writing(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), "somewhere")


def test_a_prepared_dataset_on_a_read_only_disk_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared(tmp_path)
    monkeypatch.setattr(FileLock, "acquire", _no_writing)

    assert prepare(config).skipped == ("train.bin", "val.bin", "meta.pkl")
    with pytest.raises(DataError, match="Read-only file system"):
        prepare(config, force=True)
    write_raw(tmp_path, STORY, "more.txt")
    with pytest.raises(DataError, match="Read-only file system"):
        prepare(config)


def test_a_dataset_whose_raw_folder_cannot_be_written_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepare_config(tmp_path, bundled="tiny_shakespeare")
    prepare(config)
    (config.raw_dir / "tiny_shakespeare.txt").unlink()
    monkeypatch.setattr(corpora, "replace_file", _no_writing)
    assert prepare(config).skipped


def test_without_any_text_the_folder_to_fill_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"raw has no \.txt, \.xml, \.jsonl or \.parquet file"):
        prepare(prepare_config(tmp_path))


def test_a_dataset_outlives_its_raw_text(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    (config.raw_dir / "input.txt").unlink()

    report = prepare(config)

    assert dataset_state(config) == "prepared"
    assert report.skipped
    assert "kept" in report.notes[0]


def test_a_raw_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("text")

    with pytest.raises(DataError, match="is a file"):
        prepare(prepare_config(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("alt.txt", "grün".encode("latin-1"), r"alt\.txt is not UTF-8.*offset 2\."),
        ("leer.txt", b"", "no text"),
        ("kaputt.xml", b"<a>", r"kaputt\.xml is not well-formed"),
    ],
)
def test_an_unusable_input_leaves_the_old_dataset_whole(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    config = prepared(tmp_path)
    before = files_of(config.dataset_dir)
    (config.raw_dir / "input.txt").unlink()
    (config.raw_dir / name).write_bytes(content)

    with pytest.raises(DataError, match=message):
        prepare(config)

    assert files_of(config.dataset_dir) == before
    assert [path.name for path in config.dataset_dir.glob(".*")] == [".prepare.lock"]
    assert len(open_dataset(config.dataset_dir, prepare_command=COMMAND).train)


def test_a_vocabulary_that_the_text_cannot_fill_is_refused(tmp_path: Path) -> None:
    write_raw(tmp_path, STORY)

    with pytest.raises(DataError, match="vocab_size = 4000") as raised:
        prepare(prepare_config(tmp_path, tokenizer_type="sentencepiece", vocab_size=4000))

    assert "or less" in raised.value.hint


def test_a_full_disk_leaves_the_old_dataset_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared(tmp_path)
    before = files_of(config.dataset_dir)
    write_raw(tmp_path, STORY * 6)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="disk is full"):
            prepare(config)

    assert files_of(config.dataset_dir) == before
    assert [path.name for path in config.dataset_dir.glob(".*")] == [".prepare.lock"]
    assert prepare(config).refreshed


def test_a_second_prepare_waits_for_the_first_and_then_skips(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    said: list[str] = []
    waiting = threading.Event()

    def report(line: str) -> None:
        said.append(line)
        waiting.set()

    lock = FileLock(config.dataset_dir / ".prepare.lock")
    with lock:
        second = threading.Thread(target=prepare_dataset, args=(config,), kwargs={"report": report})
        second.start()
        assert waiting.wait(timeout=30)
    second.join(timeout=30)

    assert "Waiting" in said[0]
    assert "Nothing has changed" in said[-1]


def test_a_prepare_that_waits_too_long_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = prepared(tmp_path)
    monkeypatch.setattr(dataset_module, "_LOCK_TIMEOUT_SECONDS", 0)

    with FileLock(config.dataset_dir / ".prepare.lock"), pytest.raises(DataError, match="Another"):
        prepare(config)


def test_the_sentencepiece_algorithm_decides_the_tokens(tmp_path: Path) -> None:
    tokens = {}
    for algorithm in ("bpe", "unigram"):
        config = prepared(tmp_path / algorithm, sentencepiece_model=algorithm, **SPM)
        tokenizer = load_tokenizer(config.dataset_dir)
        tokens[algorithm] = tokenizer.encode(STORY)
        assert tokenizer.decode(tokens[algorithm]) == STORY
    assert tokens["bpe"] != tokens["unigram"]


def test_characters_that_coverage_leaves_out_become_bytes(tmp_path: Path) -> None:
    pieces = {}
    for coverage in (1.0, 0.98):
        config = prepared(
            tmp_path / str(coverage), "é" + STORY * 5, character_coverage=coverage, **SPM
        )
        tokenizer = load_tokenizer(config.dataset_dir)
        pieces[coverage] = tokenizer.encode("é")
        assert tokenizer.decode(pieces[coverage]) == "é"
    assert len(pieces[0.98]) > len(pieces[1.0])


@pytest.mark.parametrize(
    "settings",
    [{}, {"documents": "lines"}, {"val_split": "random_documents"}, {"tokenizer_type": "gpt2"}],
)
def test_progress_ends_at_the_whole_text(settings: dict[str, Any], tmp_path: Path) -> None:
    config = prepare_config(tmp_path, **settings)
    for name in ("a.txt", "b.txt", "c.txt"):
        write_raw(tmp_path, STORY, name)
    shown: list[Progress] = []

    prepare_dataset(config, report=lambda _: None, progress=shown.append)

    assert shown
    assert [each.done for each in shown] == sorted(each.done for each in shown)
    # The total leaves out what stands between documents.
    assert 0 <= shown[-1].done - shown[-1].total <= shown[-1].total / 10
    assert shown[-1].left == 0


def test_a_preparation_that_is_stopped_leaves_the_old_dataset_and_nothing_else(
    tmp_path: Path,
) -> None:
    config = prepared(tmp_path)
    before = files_of(config.dataset_dir)
    write_raw(tmp_path, STORY * 6)

    def stop(_: Progress) -> None:
        raise InterruptedError("stopped")

    with pytest.raises((InterruptedError, DataError), match="stopped"):
        prepare_dataset(config, report=lambda _: None, progress=stop)

    assert files_of(config.dataset_dir) == before
    assert not [path for path in config.dataset_dir.iterdir() if path.is_dir()]


def test_sentencepiece_says_that_it_was_trained_on_a_sample(tmp_path: Path) -> None:
    text = "".join(f"{number} bottles of beer on the wall\n" for number in range(9000))
    config = prepared(tmp_path, text, **SPM, sentencepiece_sample=100_000)
    whole = config.model_copy(update={"sentencepiece_sample": 0})

    sampled = prepare(config, force=True)
    (note,) = (each for each in sampled.notes if "sample" in each)
    assert "prepare.sentencepiece_sample" in note
    assert dataset_state(whole) == "stale"
    assert not [each for each in prepare(whole).notes if "sample" in each]
    meta = read_meta(config.dataset_dir / "meta.pkl")
    assert meta["settings"]["sentencepiece_sample"] == 0


def test_datasets_without_a_stated_sample_stay_current(tmp_path: Path) -> None:
    config = prepared(tmp_path, **SPM)

    meta = read_meta(config.dataset_dir / "meta.pkl")

    assert "sentencepiece_sample" not in meta["settings"]
    assert dataset_state(config) == "prepared"
