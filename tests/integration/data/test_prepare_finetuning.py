"""Preparing texts for a pretrained model: whole documents, divided, in that model's tokens."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.configs import write_experiment
from builders.corpora import (
    SHORT_SPEECH,
    SPEECH,
    files_of,
    prepare_config,
    prepared,
    protocol,
    write_raw,
)
from builders.hf_tokenizers import BOS, EOS, Shape, tokenizer_folder
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.build_finetuning import base_identity
from transformer_playground.data.dataset import check_artifacts, open_dataset
from transformer_playground.data.meta import read_meta
from transformer_playground.data.prepare import PrepareReport, dataset_state, prepare_dataset
from transformer_playground.data.sources.text import STRUCTURE_TOKENS
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.data.tokenizers.huggingface import HuggingFaceTokenizer
from transformer_playground.errors import DataError, ModelError
from transformer_playground.experiments import registry
from transformer_playground.experiments.discovery import load_experiment

COMMAND = "tp prepare tiny"
SEPARATOR = "<|endofspeech|>"
LINES = "\n".join(f"The cat counts to {number}." for number in range(40))
ARTIFACTS = (
    "train.jsonl",
    "val.jsonl",
    "train.bin",
    "val.bin",
    "tokenizer.json",
    "tokenizer_config.json",
    "meta.pkl",
)
TABLE = "Rede,Redner,Fraktion,Datum,Thema\n" + "".join(
    f'"Rede {number}.\nDanke.",Redner {number},SPD,0{number}.03.199{number},Brücken\n'
    for number in range(1, 7)
)


def base(shape: Shape = "bytelevel", **settings: Any) -> HfModelConfig:
    return HfModelConfig(model_name=str(tokenizer_folder(shape, **settings)))


def prepare(
    config: PrepareConfig, hf_model: HfModelConfig | None = None, *, force: bool = False
) -> PrepareReport:
    return prepare_dataset(config, hf_model or base(), report=lambda _: None, force=force)


def settings_for(folder: Path, **settings: Any) -> PrepareConfig:
    return prepare_config(folder, tokenizer_type="huggingface", **settings)


def records(config: PrepareConfig, split: str) -> list[dict[str, str]]:
    lines = (config.dataset_dir / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def loaded(config: PrepareConfig) -> HuggingFaceTokenizer:
    tokenizer = load_tokenizer(config.dataset_dir)
    assert isinstance(tokenizer, HuggingFaceTokenizer)
    return tokenizer


def decoded_documents(config: PrepareConfig, split: str) -> list[str]:
    """What the token file of a split holds, document by document, start tokens left out."""
    tokenizer = loaded(config)
    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
    tokens: Any = getattr(dataset, split)
    ends = np.flatnonzero(tokens == tokenizer.eos_id)
    assert ends[-1] == len(tokens) - 1
    parts = np.split(tokens, ends + 1)[:-1]
    if tokenizer.bos_id is not None:
        assert all(part[0] == tokenizer.bos_id for part in parts)
        parts = [part[1:] for part in parts]
    return [tokenizer.decode(part[:-1].tolist()) for part in parts]


@pytest.mark.parametrize("settings", [{}, {"adds_bos": False}])
def test_each_document_is_start_text_and_end(settings: dict[str, Any], tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines")

    report = prepare(config, base("bytelevel", **settings))

    assert report.created == ARTIFACTS
    train, val = (records(config, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (36, 4)
    assert sorted(record["text"] for record in train + val) == sorted(LINES.splitlines())
    assert decoded_documents(config, "train") == [record["text"] for record in train]
    assert decoded_documents(config, "val") == [record["text"] for record in val]


def test_a_token_that_begins_and_ends_texts_only_ends_documents(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines", doc_separator=BOS)

    prepare(config)

    assert (loaded(config).bos_id, loaded(config).eos_id) == (None, loaded(config).id_of(BOS))
    assert decoded_documents(config, "val") == [record["text"] for record in records(config, "val")]


def test_the_meta_says_what_training_and_sampling_need(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines")
    hf_model = base()

    report = prepare(config, hf_model)

    meta = check_artifacts(config.dataset_dir, hashes=True)
    tokenizer = loaded(config)
    assert meta["kind"] == "huggingface"
    assert meta["base"]["model_name"] == hf_model.model_name
    assert (meta["eos_id"], meta["eos_token"]) == (tokenizer.id_of(EOS), EOS)
    assert meta["bos_id"] == tokenizer.id_of(BOS)
    assert meta["new_tokens"] == []
    assert meta["vocab_size"] == tokenizer.vocab_size == report.vocab_size
    assert set(meta["files"]) == set(ARTIFACTS) - {"meta.pkl"}
    dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
    assert dataset.val_bytes == sum(len(record["text"]) for record in records(config, "val"))


def test_a_word_as_separator_becomes_a_token_that_ends_each_document(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines", doc_separator=SEPARATOR)

    report = prepare(config)

    meta = read_meta(config.dataset_dir / "meta.pkl")
    assert meta["eos_token"] == SEPARATOR
    assert meta["new_tokens"] == [meta["eos_id"]] == [report.vocab_size - 1]
    assert decoded_documents(config, "val") == [record["text"] for record in records(config, "val")]
    assert report.notes == ()


def test_the_name_of_the_end_token_inside_a_text_ends_nothing(tmp_path: Path) -> None:
    write_raw(tmp_path, f"One {EOS} two {SEPARATOR} three.\nFour {EOS}")
    config = settings_for(tmp_path, documents="lines", doc_separator=SEPARATOR)

    prepare(config)

    texts = decoded_documents(config, "train") + decoded_documents(config, "val")
    assert sorted(texts) == [f"Four {EOS}", f"One {EOS} two {SEPARATOR} three."]


def test_a_separator_that_the_tokenizer_has_is_used_and_told(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines", doc_separator=EOS)

    report = prepare(config)

    assert read_meta(config.dataset_dir / "meta.pkl")["new_tokens"] == []
    assert f"already has {EOS}" in report.notes[0]


def test_speeches_of_a_protocol_keep_speaker_party_and_date(tmp_path: Path) -> None:
    write_raw(tmp_path, protocol(SPEECH, SHORT_SPEECH), "20213.xml")
    config = settings_for(tmp_path, add_structure_tokens=True)

    report = prepare(config)

    both = records(config, "train") + records(config, "val")
    long, short = sorted(both, key=lambda record: record["speaker"])
    assert long["speaker"] == "Dr. Erika Beispiel"
    assert (long["party"], long["date"], long["source"]) == (
        "Blaue Liste",
        "13.03.2025",
        "20213.xml",
    )
    assert short["text"].startswith("<|rede|>\n<|datum|>13.03.2025\n<|sprecher|>Ina Test")
    tokenizer = loaded(config)
    assert len(tokenizer.new_tokens) == len(STRUCTURE_TOKENS)
    assert tokenizer.new_tokens[0] == report.vocab_size - len(STRUCTURE_TOKENS)
    tokens = np.concatenate(
        [np.fromfile(config.dataset_dir / f"{split}.bin", np.uint16) for split in ("train", "val")]
    )
    assert (tokens == tokenizer.id_of("<|rede|>")).sum() == 2


def test_rows_of_a_table_become_speeches_under_a_header(tmp_path: Path) -> None:
    write_raw(tmp_path, TABLE, "reden.csv")
    config = settings_for(tmp_path)

    report = prepare(config)

    (record,) = [record for record in _all(config) if record["speaker"] == "Redner 3"]
    assert record == {
        "text": "Sprecher: Redner 3\nPartei: SPD\nJahr: 1993\nThema: Brücken\n\nRede 3.\nDanke.",
        "source": "reden.csv",
        "speaker": "Redner 3",
        "party": "SPD",
        "date": "03.03.1993",
        "topic": "Brücken",
    }
    assert len(_all(config)) == 6
    assert report.notes[0].startswith("reden.csv: speech = Rede, speaker = Redner")
    assert record["text"] in decoded_documents(config, "train") + decoded_documents(config, "val")


def test_a_table_with_a_header_alone_is_told_beside_others(tmp_path: Path) -> None:
    write_raw(tmp_path, TABLE, "reden.csv")
    write_raw(tmp_path, "Rede,Redner\n", "leer.csv")

    report = prepare(settings_for(tmp_path))

    empty, full = report.notes
    assert empty == "leer.csv: speech = Rede, speaker = Redner; no row has a speech"
    assert "no row" not in full


def test_rows_stay_whole_where_lines_are_documents(tmp_path: Path) -> None:
    write_raw(tmp_path, TABLE, "reden.csv")
    config = settings_for(tmp_path, documents="lines", conditioning_header=False)
    prepare(config)
    assert sorted(record["text"] for record in _all(config))[0] == "Rede 1.\nDanke."


def _all(config: PrepareConfig) -> list[dict[str, str]]:
    return records(config, "train") + records(config, "val")


def test_the_seed_divides_whole_documents_and_each_side_has_one(tmp_path: Path) -> None:
    parts: dict[int, list[str]] = {}
    for seed in (1, 2, 1):
        folder = tmp_path / str(len(parts)) / str(seed)
        write_raw(folder, LINES)
        config = settings_for(folder, documents="lines", seed=seed)
        prepare(config)
        val = [record["text"] for record in records(config, "val")]
        train = [record["text"] for record in records(config, "train")]
        assert set(val).isdisjoint(train)
        assert parts.setdefault(seed, val) == val
    assert parts[1] != parts[2]

    write_raw(tmp_path / "two", "One.", "a.txt")
    write_raw(tmp_path / "two", "Two.", "b.txt")
    config = settings_for(tmp_path / "two", val_fraction=0.01)
    prepare(config)
    assert (len(records(config, "train")), len(records(config, "val"))) == (1, 1)


@pytest.mark.parametrize(
    ("names", "text", "settings", "kept", "left_out"),
    [
        (["a.txt", "b.txt", "c.txt"], "Danke.\nDanke.", {}, 1, 2),
        (["a.txt", "b.txt"], LINES, {"documents": "lines"}, 40, 40),
        (["a.csv", "b.csv"], TABLE, {}, 6, 6),
        (["1.xml", "2.xml"], protocol(SPEECH, SHORT_SPEECH), {}, 2, 2),
    ],
)
def test_a_text_that_comes_again_is_left_out_and_told(
    names: list[str],
    text: str,
    settings: dict[str, Any],
    kept: int,
    left_out: int,
    tmp_path: Path,
) -> None:
    for name in names:
        write_raw(tmp_path, text, name)
    write_raw(tmp_path, "Another.", "other.txt")
    config = settings_for(tmp_path, val_fraction=0.5, **settings)

    report = prepare(config)

    texts = [record["text"] for record in _all(config)]
    assert len(texts) == len(set(texts)) == kept + 1
    assert report.notes[-1].startswith(f"{left_out} documents have the same text as an earlier")


def test_lines_of_one_speech_stay_on_one_side(tmp_path: Path) -> None:
    speeches = [
        SHORT_SPEECH.replace("Ina", f"Ina{number}").replace("Danke", f"Danke {number}")
        for number in range(8)
    ]
    write_raw(tmp_path, protocol(*speeches), "20213.xml")
    config = settings_for(tmp_path, documents="lines", val_fraction=0.5)

    prepare(config)

    train, val = (
        {record["speaker"] for record in records(config, split)} for split in ("train", "val")
    )
    assert len(_all(config)) == 16
    assert train.isdisjoint(val)
    assert (len(train), len(val)) == (4, 4)


def test_a_text_longer_than_what_is_encoded_at_once_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformer_playground.data import token_file

    text = "The  cat\n\nsat by    the wheel, " * 40 + "x" * 200
    for name in ("whole", "cut"):
        write_raw(tmp_path / name, text, "a.txt")
        write_raw(tmp_path / name, text + "!", "b.txt")
        prepare(settings_for(tmp_path / name))
        monkeypatch.setattr(token_file, "_CHUNK", 50)
    whole, cut = (files_of(tmp_path / name / "datasets") for name in ("whole", "cut"))
    assert whole["train.bin"] == cut["train.bin"]


def test_a_second_prepare_skips_everything_and_force_gives_the_same_bytes(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines", doc_separator=SEPARATOR)
    prepare(config)
    before = files_of(config.dataset_dir)

    assert prepare(config).skipped == ARTIFACTS
    assert prepare(config, force=True).refreshed == ARTIFACTS
    assert files_of(config.dataset_dir) == before
    assert [path.name for path in config.dataset_dir.glob(".*")] == [".prepare.lock"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 7},
        {"doc_separator": SEPARATOR},
        {"val_fraction": 0.2},
        {"documents": "files"},
        {"conditioning_header": False},
        {"columns": {"party": "Group"}},
    ],
)
def test_changed_settings_make_the_dataset_stale(change: dict[str, Any], tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    prepare(settings_for(tmp_path, documents="lines"))
    config = settings_for(tmp_path, **{"documents": "lines", **change})
    assert dataset_state(config, base()) == "stale"


def test_another_base_makes_the_dataset_stale(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines")
    assert dataset_state(config, base()) == "missing"
    prepare(config)

    assert dataset_state(config, base()) == "prepared"
    assert dataset_state(config, base("llama")) == "stale"
    assert dataset_state(config, base().model_copy(update={"gguf_file": "x.gguf"})) == "stale"
    hub = HfModelConfig(model_name="Qwen/Qwen2.5-1.5B")
    assert dataset_state(config, hub) == "stale"
    assert prepare(config, base("llama")).refreshed == ARTIFACTS
    assert dataset_state(config, base("llama")) == "prepared"


def test_another_end_in_the_tokenizers_settings_makes_the_dataset_stale(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    folder = shutil.copytree(tokenizer_folder("bytelevel"), tmp_path / "model")
    hf_model = HfModelConfig(model_name=str(folder))
    config = settings_for(tmp_path, documents="lines")
    prepare(config, hf_model)
    assert dataset_state(config, hf_model) == "prepared"

    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": BOS}))

    assert dataset_state(config, hf_model) == "stale"
    prepare(config, hf_model)
    assert read_meta(config.dataset_dir / "meta.pkl")["eos_token"] == BOS


def test_another_gguf_file_of_the_same_name_is_another_base(tmp_path: Path) -> None:
    content = b"GGUF" + bytes(range(256)) * 10_000
    (tmp_path / "m.gguf").write_bytes(content)
    hf_model = HfModelConfig(model_name=str(tmp_path), gguf_file="m.gguf")
    before = base_identity(hf_model)
    assert base_identity(hf_model) == before

    (tmp_path / "m.gguf").write_bytes(content[:-1] + b"x")

    assert base_identity(hf_model) != before


def test_settings_of_training_alone_leave_the_dataset_as_it_is(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines")
    prepare(config)
    other = base().model_copy(update={"block_size": 32, "dtype": "bfloat16", "packing": False})
    assert dataset_state(config, other) == "prepared"


def test_the_same_texts_have_the_same_fingerprint_wherever_the_base_lies(tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / tokenizer_folder("bytelevel").name
    moved.parent.mkdir()
    moved.symlink_to(tokenizer_folder("bytelevel"), target_is_directory=True)
    fingerprints = set()
    for number, hf_model in enumerate((base(), HfModelConfig(model_name=str(moved)))):
        write_raw(tmp_path / str(number), LINES)
        config = settings_for(tmp_path / str(number), documents="lines")
        prepare(config, hf_model)
        assert dataset_state(config, base()) == "prepared"
        dataset = open_dataset(config.dataset_dir, prepare_command=COMMAND)
        fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1


def test_a_dataset_of_the_other_kind_is_replaced_with_nothing_left_over(tmp_path: Path) -> None:
    own = prepared(tmp_path, LINES)
    before = files_of(own.dataset_dir)
    config = settings_for(tmp_path, documents="lines")
    assert dataset_state(config, base()) == "stale"

    report = prepare(config)

    assert set(report.created) == set(ARTIFACTS) - {"train.bin", "val.bin", "meta.pkl"}
    assert set(files_of(config.dataset_dir)) == set(ARTIFACTS)
    prepare_dataset(own, report=lambda _: None)
    assert files_of(own.dataset_dir) == before


def test_texts_of_others_are_left_alone_by_a_model_of_our_own(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    (config.dataset_dir / "train.jsonl").write_text("mine")

    prepare_dataset(config, report=lambda _: None, force=True)

    assert (config.dataset_dir / "train.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "text", "settings", "complaint"),
    [
        ("a.txt", " \n\n ", {}, "There is no text in"),
        ("a.txt", LINES, {}, "corpus of one document"),
        ("a.txt", "one line", {"documents": "lines"}, "corpus of one document"),
        ("a.csv", "id,words\n1,a\n", {}, "no known speech column"),
        ("a.csv", "Speech\n", {}, "There is no text in"),
        ("a.md", "text", {}, r"no \.txt, \.xml, \.jsonl, \.parquet or \.csv file"),
        ("a.txt", LINES, {"doc_separator": "er"}, "ordinary token"),
    ],
)
def test_an_unusable_corpus_is_refused_and_leaves_nothing(
    name: str, text: str, settings: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    write_raw(tmp_path, text, name)
    config = settings_for(tmp_path, **settings)

    with pytest.raises(DataError, match=complaint):
        prepare(config, base("llama"))

    assert [path.name for path in config.dataset_dir.iterdir()] == [".prepare.lock"]


def test_a_tokenizer_without_an_end_is_refused_unless_one_is_added(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    endless = base("bytelevel", eos=None)
    with pytest.raises(DataError, match="no token that ends a text"):
        prepare(settings_for(tmp_path, documents="lines"), endless)
    assert prepare(
        settings_for(tmp_path, documents="lines", doc_separator=SEPARATOR), endless
    ).created


def test_a_base_that_is_not_there_is_explained_and_the_old_dataset_stays(tmp_path: Path) -> None:
    write_raw(tmp_path, LINES)
    config = settings_for(tmp_path, documents="lines")
    prepare(config)
    before = files_of(config.dataset_dir)

    with pytest.raises(ModelError, match="There is no folder"):
        prepare(config, HfModelConfig(model_name=str(tmp_path / "none")))

    assert files_of(config.dataset_dir) == before


def test_a_table_alone_is_nothing_for_a_model_of_our_own(tmp_path: Path) -> None:
    write_raw(tmp_path, TABLE, "reden.csv")

    with pytest.raises(DataError, match=r"no \.txt, \.xml, \.jsonl or \.parquet file") as raised:
        prepare_dataset(prepare_config(tmp_path), report=lambda _: None)

    assert "kind = 'lora'" in raised.value.hint


def test_a_lora_experiment_is_prepared_for_the_model_it_names(tmp_path: Path) -> None:
    text = (
        '[experiment]\nkind = "lora"\n'
        '[prepare]\ntokenizer_type = "huggingface"\ndocuments = "lines"\n'
        f'[hf_model]\nmodel_name = "{tokenizer_folder("bytelevel")}"\n'
    )
    write_experiment(tmp_path / "experiments", "tiny", text, {"raw/a.txt": LINES})
    experiment, found = load_experiment(tmp_path / "experiments", "tiny", None, (), {})

    assert registry.dataset_state(experiment, found.config) == "missing"
    report = registry.prepare_experiment(experiment, found.config, report=lambda _: None)

    assert report.created == ARTIFACTS
    assert registry.dataset_state(experiment, found.config) == "prepared"
