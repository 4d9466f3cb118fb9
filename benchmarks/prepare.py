"""Speed and memory of `tp prepare` on a large text, for each tokenizer.

The text consists of lines of the bundled Tiny Shakespeare in random order, each with a number, so
that words are as frequent as in a real text. Its preparation is a child process; beside it tiktoken
encodes 20 MB of the same text by one thread, as a plain script would. Memory is the peak resident
memory of the child, on a text of a third of the size too: flat means that both are alike.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from transformer_playground.data.sources.corpora import bundled_text
from transformer_playground.data.tokenizers.gpt2 import Gpt2Tokenizer
from transformer_playground.data.workers import core_count

TOKENIZERS = {
    "char": "tokenizer_type=char",
    "gpt2": "tokenizer_type=gpt2",
    "sentencepiece": "tokenizer_type=sentencepiece",
}
_PLAIN_BYTES = 20_000_000


def write_text(path: Path, size: int) -> None:
    """Write about `size` bytes of text."""
    lines = bundled_text("tiny_shakespeare").read_text(encoding="utf-8").splitlines()
    generator = random.Random(0)
    written = number = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            block = "".join(f"{number + i} {generator.choice(lines)}\n" for i in range(10_000))
            number += 10_000
            written += file.write(block)


def prepare(folder: Path, text: Path, tokenizer: str) -> tuple[float, int]:
    """Seconds and peak resident memory in bytes of `tp prepare`."""
    experiment = folder / "experiments" / f"{tokenizer}-{text.stem}"
    (experiment / "raw").mkdir(parents=True)
    (experiment / "raw" / text.name).hardlink_to(text)
    (experiment / "config.toml").write_text(f"[prepare]\n{_toml(TOKENIZERS[tokenizer])}\n")
    command = [str(Path(sys.executable).with_name("tp")), "prepare", experiment.name]
    start_time = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start_time
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    # The kernel counts KiB, macOS bytes.
    return seconds, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _toml(setting: str) -> str:
    name, _, value = setting.partition("=")
    return f'{name} = "{value}"'


def plain_speed(text: Path) -> float:
    """Bytes per second of tiktoken in one thread, without a file to write."""
    import tiktoken

    tokenizer = Gpt2Tokenizer()
    encoding: tiktoken.Encoding = tokenizer._encoding
    with text.open(encoding="utf-8") as file:
        content = file.read(_PLAIN_BYTES)
    encoding.encode_ordinary(content[:1000])
    start_time = time.perf_counter()
    for start in range(0, len(content), 1 << 20):
        encoding.encode_ordinary(content[start : start + (1 << 20)])
    return len(content) / (time.perf_counter() - start_time)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=120)
    parser.add_argument("--tokenizers", nargs="*", choices=TOKENIZERS, default=list(TOKENIZERS))
    arguments = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small.txt", folder / "large.txt"
        write_text(small, arguments.megabytes * 1_000_000 // 3)
        write_text(large, arguments.megabytes * 1_000_000)
        size = large.stat().st_size
        print(f"{size / 1e6:.0f} MB of text, {core_count()} cores")
        print("tokenizer         time       speed     memory   a third of the text   tiktoken x1")
        for tokenizer in arguments.tokenizers:
            plain = plain_speed(large) if tokenizer == "gpt2" else None
            _, memory_small = prepare(folder, small, tokenizer)
            seconds, memory = prepare(folder, large, tokenizer)
            figures[tokenizer] = {
                "megabytes_per_second": round(size / 1e6 / seconds, 1),
                "megabytes": round(memory / 1e6),
                "growth": round(memory / memory_small, 2),
            }
            beside = ""
            if plain is not None:
                ratio = size / seconds / plain
                figures[tokenizer]["times_tiktoken_one_thread"] = round(ratio, 2)
                beside = f"{plain / 1e6:7.1f} MB/s {ratio:5.2f}x"
            print(
                f"{tokenizer:<14} {seconds:6.1f} s {size / 1e6 / seconds:6.1f} MB/s"
                f" {memory / 1e6:6.0f} MB {memory_small / 1e6:16.0f} MB   {beside}",
                flush=True,
            )
    print(json.dumps({"benchmark": "prepare", "figures": figures}))


if __name__ == "__main__":
    main()
