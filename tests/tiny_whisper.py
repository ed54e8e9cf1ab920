"""A Whisper of some thousand weights that can tell two tones apart: the real format, no download."""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

RATE = 16_000
LOW, HIGH = 440.0, 1760.0
WORDS = {LOW: "low", HIGH: "high"}
LESSONS = ([LOW], [HIGH], [LOW, HIGH], [HIGH, LOW], [LOW, LOW], [HIGH, HIGH])
WINDOW_SECONDS = 4  # instead of 30
NUM_TIMES = 1501  # of 20 ms: 0 to 30 s
SPECIAL = (
    *("startoftranscript", "translate", "transcribe", "startoflm", "startofprev", "nospeech"),
    "notimestamps",
)


def tones(frequencies: list[float]) -> np.ndarray:
    """Float32 samples: a second of each tone, half a second of nothing after it."""
    at = np.arange(RATE) / RATE
    gap = np.zeros(RATE // 2)
    parts = [part for frequency in frequencies for part in (0.5 * np.sin(2 * np.pi * frequency * at), gap)]
    return np.concatenate(parts).astype(np.float32)


def write_tiny_whisper(folder: Path) -> None:
    """Train on the lessons, and save the model as the hub has them."""
    tokenizer = byte_tokenizer(folder)
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW_SECONDS)
    number = {
        name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in (*SPECIAL, "endoftext", "0.00")
    }
    end = number["endoftext"]
    width, layers, heads = 32, 1, 2
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        max_source_positions=50 * WINDOW_SECONDS,
        max_target_positions=64,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=number["startoftranscript"],
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=number["startoftranscript"],
        prev_sot_token_id=number["startofprev"],
        no_timestamps_token_id=number["notimestamps"],
        is_multilingual=False,
        max_initial_timestamp_index=50,
        alignment_heads=[[0, 0], [0, 1]],
        max_length=64,
    )
    sounds = extractor([tones(lesson) for lesson in LESSONS], sampling_rate=RATE, return_tensors="pt")
    targets = [
        [
            number["0.00"],
            *tokenizer("".join(f" {WORDS[tone]}" for tone in lesson), add_special_tokens=False)["input_ids"],
            tokenizer.convert_tokens_to_ids(f"<|{1.5 * len(lesson):.2f}|>"),
            end,
        ]
        for lesson in LESSONS
    ]
    longest = max(map(len, targets))
    labels = torch.tensor([row + [-100] * (longest - len(row)) for row in targets])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(600):
        loss = model(input_features=sounds.input_features, labels=labels).loss
        if loss < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for part in (model, extractor, tokenizer):
        part.save_pretrained(folder)


def byte_tokenizer(folder: Path) -> WhisperTokenizer:
    """Bytes alone, then Whisper's special tokens and times in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({name: at for at, name in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = WhisperTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in SPECIAL]})
    tokenizer.add_tokens([f"<|{0.02 * at:.2f}|>" for at in range(NUM_TIMES)])
    return tokenizer
