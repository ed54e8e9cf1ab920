import numpy as np
import pytest

from tests.tiny import FOODS, cooking, document, vocabulary
from vbert.documents.packing import packed_rows
from vbert.documents.sequences import (
    IGNORED,
    VIDEO,
    Regime,
    SequenceConfig,
    join,
    mask,
    passages_of,
    random_generator,
    sequences_of_documents,
    subsample,
    windows_without_text,
)
from vbert.errors import UserError

WORDS = vocabulary()
ONE_BY_ONE = SequenceConfig(row_length=64, max_joined_sentences=1, max_subsampling_step=1)


def clips(*tokens: int) -> np.ndarray:
    return np.array(tokens) + WORDS.visual_offset


def read(ids: np.ndarray) -> str:
    return WORDS.describe(ids.tolist())


def test_the_three_regimes_read_like_the_paper():
    text = WORDS.encode(["cut the egg"])[0]
    read_as = {
        regime: read(join(text, clips(3, 4), WORDS, regime=regime, row_length=64)[0]) for regime in Regime
    }
    assert read_as == {
        Regime.TEXT: "[CLS] cut the egg [SEP]",
        Regime.VIDEO: "[CLS] [>] v3 v4 [SEP]",
        Regime.JOINT: "[CLS] cut the egg [>] v3 v4 [SEP]",
    }


def test_video_has_the_other_token_type():
    ids, types = join(WORDS.encode(["cut"])[0], clips(3), WORDS, regime=Regime.JOINT, row_length=64)
    assert types.tolist() == [0, 0, 1, 1, 1]
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("num_words", "num_clips", "kept"),
    [(40, 40, (14, 15)), (40, 3, (26, 3)), (4, 40, (4, 25)), (40, 0, (29, 0))],
)
def test_too_long_a_pair_is_cut_on_both_sides(num_words: int, num_clips: int, kept: tuple[int, int]):
    text = np.repeat(WORDS.encode(["egg"])[0], num_words)
    ids, _ = join(text, np.repeat(clips(1), num_clips), WORDS, regime=Regime.JOINT, row_length=32)
    assert len(ids) <= 32
    assert ((ids == text[0]).sum(), (ids >= WORDS.visual_offset).sum()) == kept


def test_masks_are_15_percent_of_which_80_10_10():
    ids, _ = join(
        np.repeat(WORDS.encode(["egg"])[0], 20_000), clips(*[3] * 20_000), WORDS,
        regime=Regime.JOINT, row_length=50_000,
    )  # fmt: skip
    hidden, labels = mask(ids, WORDS, np.random.default_rng(0), share=0.15)
    for kind in (ids >= WORDS.visual_offset, ids == ids[1]):
        chosen = kind & (labels != IGNORED)
        assert chosen.sum() / kind.sum() == pytest.approx(0.15, abs=0.01)
        assert (labels[chosen] == ids[chosen]).all()
        assert (hidden[chosen] == WORDS.mask_id).mean() == pytest.approx(0.8, abs=0.02)
        assert (hidden[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.02)
    replaced = (hidden != ids) & (hidden != WORDS.mask_id)
    # Words with words and clips with clips.
    assert ((hidden >= WORDS.visual_offset) == (ids >= WORDS.visual_offset))[replaced].all()
    assert len(set(hidden[replaced])) > 250  # of about 300 words and 27 clips
    assert (hidden[labels == IGNORED] == ids[labels == IGNORED]).all()


def test_something_is_always_masked_and_never_a_special_token():
    ids, _ = join(WORDS.encode(["cut"])[0], clips(2), WORDS, regime=Regime.JOINT, row_length=64)
    for seed in range(100):
        _, labels = mask(ids, WORDS, np.random.default_rng(seed), share=0.01)
        assert (labels != IGNORED).sum() == 1
        assert (labels != IGNORED)[[1, 3]].any()


def test_a_sentence_takes_the_clips_of_its_time():
    video = document("v", tokens=[1, 2, 3, 4, 5, 6], sentences=[(0.0, 3.0, "peel it"), (4.5, 9.0, "eat it")])
    found = list(passages_of(video, WORDS, ONE_BY_ONE, np.random.default_rng(0)))
    assert [(read(p.words), read(p.clips)) for p in found] == [("peel it", "v1 v2"), ("eat it", "v4 v5 v6")]


def test_neighbouring_sentences_are_joined_by_chance():
    video = document(
        "v", tokens=[1, 2, 3, 4], sentences=[(1.5 * n, 1.5 * n + 1.5, f"w{n}") for n in range(4)]
    )
    config = SequenceConfig(max_joined_sentences=3)
    counts = set()
    for seed in range(50):
        found = list(passages_of(video, WORDS, config, np.random.default_rng(seed)))
        counts.add(tuple(len(passage.clips) for passage in found))
        assert "".join(read(passage.clips) for passage in found).count("v") == 4  # each clip once
    assert {1, 2, 3} == {count for lengths in counts for count in lengths}


def test_video_without_text_is_cut_every_16_seconds():
    video = document("v", tokens=list(range(24)))  # 36 s
    windows = list(windows_without_text(video, np.zeros(24, bool), 16.0))
    # Clips begin every 1.5 s: the 11th, at 16.5 s, is the first of the second window.
    assert windows == [slice(0, 11), slice(11, 22), slice(22, 24)]


def test_intervals_between_sentences_are_windows_too_but_a_lone_clip_is_none():
    is_covered = np.array([1, 0, 0, 0, 1, 0, 1], bool)
    video = document("v", tokens=list(range(7)))
    assert list(windows_without_text(video, is_covered, 16.0)) == [slice(1, 4)]


def test_every_step_from_one_to_five_is_taken_from_every_start():
    found = {tuple(subsample(np.arange(10), 5, np.random.default_rng(seed))) for seed in range(300)}
    assert found == {tuple(range(start, 10, step)) for step in range(1, 6) for start in range(step)}


def test_subsampling_never_leaves_nothing():
    assert all(len(subsample(np.arange(1), 5, np.random.default_rng(seed))) == 1 for seed in range(50))


def test_regimes_come_by_their_weights():
    window = [cooking(number) for number in range(200)]
    config = SequenceConfig(joint_weight=2, text_weight=1, video_weight=1, max_joined_sentences=1)
    found = [s.regime for s in sequences_of_documents(window, WORDS, config, seed=0, epoch=0)]
    assert len(found) == 600  # a sequence a sentence
    assert found.count(Regime.JOINT) / 600 == pytest.approx(0.5, abs=0.07)
    assert found.count(Regime.TEXT) / 600 == pytest.approx(0.25, abs=0.06)


def test_a_regime_of_weight_0_never_comes():
    window = [cooking(number) for number in range(20)] + [document("silent", tokens=[1, 2, 3])]
    config = SequenceConfig(joint_weight=1, text_weight=0, video_weight=0)
    found = sequences_of_documents(window, WORDS, config, seed=0, epoch=0)
    assert {s.regime for s in found} == {Regime.JOINT}


def test_negatives_show_another_video_and_ask_for_no_word():
    # Video n has token n alone, so that every clip tells where it is from.
    window = [document(f"v{n}", tokens=[n] * 4, sentences=[(0.0, 6.0, "look")]) for n in range(20)]
    found = sequences_of_documents(
        window, WORDS, SequenceConfig(text_weight=0, video_weight=0, max_subsampling_step=1, mask_share=0.3),
        seed=0, epoch=0,
    )  # fmt: skip
    aligned = [s.alignment for s in found]
    assert set(aligned) == {0, 1}
    # Masked like the others, or masks would give them away.
    assert any((s.input_ids == WORDS.mask_id).any() for s in found if s.alignment == 0)
    for number, sequence in enumerate(found):
        if sequence.alignment == 0:
            # 10 % of masked clips are replaced by chance, so: not its own, but for such a one.
            assert list(sequence.input_ids).count(number + WORDS.visual_offset) <= 1
            assert (sequence.labels == IGNORED).all()
        else:
            assert (sequence.labels != IGNORED).any()


def test_negatives_of_the_same_video_show_another_moment_of_it():
    # Video n shows token n while its first sentence is said, and n + 10 later.
    said = [(0.0, 3.0, "look"), (3.0, 6.0, "see")]
    window = [document(f"v{n}", tokens=[n, n, n + 10, n + 10], sentences=said) for n in range(10)]
    config = SequenceConfig(
        text_weight=0,
        video_weight=0,
        max_joined_sentences=1,
        max_subsampling_step=1,
        same_video_share=1,
        mask_share=1e-9,
    )
    for number, sequence in enumerate(sequences_of_documents(window, WORDS, config, seed=0, epoch=0)):
        video, is_second = divmod(number, 2)
        shown = is_second if sequence.alignment else 1 - is_second
        seen = {*sequence.input_ids[sequence.token_types == VIDEO].tolist()}
        # At least one position is masked: of two clips, one is left.
        assert video + 10 * shown + WORDS.visual_offset in seen
    lone = [document(f"v{n}", tokens=[n, n], sentences=said[:1]) for n in range(10)]
    found = sequences_of_documents(lone, WORDS, config, seed=0, epoch=0)
    negatives = [
        (n, sequence.input_ids.tolist()) for n, sequence in enumerate(found) if sequence.alignment == 0
    ]
    assert negatives
    assert not any(n + WORDS.visual_offset in ids for n, ids in negatives), (
        "another's, where there is no moment"
    )


def test_negatives_of_near_videos_are_of_that_which_looks_most_alike():
    """Three kinds of videos: each has one other with two of its three tokens, and one with one."""
    tokens = {0: [0, 1, 2], 1: [1, 2, 3], 2: [3, 4, 5], 3: [9, 4, 5]}
    nearest = {0: 1, 1: 0, 2: 3, 3: 2}
    sentence = [(0.0, 6.0, "cut the egg")]
    window = [document(f"v{n}", tokens=mine, sentences=sentence) for n, mine in tokens.items()]
    config = SequenceConfig(
        text_weight=0, video_weight=0, max_subsampling_step=1, near_video_share=1, mask_share=1e-9
    )
    num_negatives = 0
    for epoch in range(8):
        for number, sequence in enumerate(sequences_of_documents(window, WORDS, config, seed=0, epoch=epoch)):
            if sequence.alignment == 0:
                num_negatives += 1
                seen = {*(sequence.input_ids[sequence.token_types == VIDEO] - WORDS.visual_offset).tolist()}
                # One position may be masked: of three clips, two are left.
                assert len(seen & {*tokens[nearest[number]]}) >= 2, (number, seen)
    assert num_negatives > 8


def test_what_goes_alone_goes_as_a_text_and_its_video():
    window = [cooking(number) for number in range(20)] + [document("silent", tokens=[1, 2, 3])]
    found = sequences_of_documents(window, WORDS, ONE_BY_ONE, seed=0, epoch=0, with_pairs=True)
    texts = [at for at, sequence in enumerate(found) if sequence.pair != IGNORED]
    texts = [at for at in texts if found[at].regime == Regime.TEXT]
    assert len(texts) == pytest.approx(40, abs=12)  # of 60 sentences two thirds
    numbers = {}
    for at in texts:
        text, video = found[at : at + 2]
        assert video.regime == Regime.VIDEO
        assert text.pair == video.pair >= 0
        said = np.where(text.labels == IGNORED, text.input_ids, text.labels)
        shown = np.where(video.labels == IGNORED, video.input_ids, video.labels)
        (food,) = {int(token) // 5 for token in shown[2:-1] - WORDS.visual_offset}
        assert read(said) == f"[CLS] now we cut the {FOODS[food]} [SEP]"
        assert numbers.setdefault(food, text.pair) == text.pair
    assert len(set(numbers.values())) == len(numbers) > 1
    alone = [s for s in found if s.pair == IGNORED and s.regime != Regime.JOINT]
    assert [s.regime for s in alone] == [Regime.VIDEO], "that of the video without text"


def test_half_of_the_pairs_are_negatives():
    window = [cooking(number) for number in range(200)]
    config = SequenceConfig(text_weight=0, video_weight=0)
    found = [s.alignment for s in sequences_of_documents(window, WORDS, config, seed=0, epoch=0)]
    assert found.count(0) / len(found) == pytest.approx(0.5, abs=0.07)
    assert IGNORED not in found


def test_a_video_alone_in_its_window_makes_no_pair():
    found = sequences_of_documents([cooking(1)], WORDS, SequenceConfig(), seed=0, epoch=0)
    assert {s.alignment for s in found} == {IGNORED}


def test_the_same_seed_and_epoch_give_the_same_and_others_do_not():
    window = [cooking(number) for number in range(5)]

    def rows(**names: int) -> np.ndarray:
        found = sequences_of_documents(window, WORDS, SequenceConfig(), **names)
        return packed_rows(found, WORDS, row_length=256, chance=random_generator(0))["input_ids"]

    assert np.array_equal(rows(seed=1, epoch=2), rows(seed=1, epoch=2))
    assert not np.array_equal(rows(seed=1, epoch=2), rows(seed=1, epoch=3))
    assert not np.array_equal(rows(seed=1, epoch=2), rows(seed=2, epoch=2))


def test_a_text_and_its_video_share_a_row_of_which_the_first_pairs_count():
    window = [cooking(number) for number in range(20)]
    config = SequenceConfig(row_length=64, joint_weight=0, max_joined_sentences=1, max_subsampling_step=5)
    found = sequences_of_documents(window, WORDS, config, seed=0, epoch=0, with_pairs=True)
    # Copies of short ones, of which more than four fit a row of 64.
    found = [
        s for at in range(0, len(found), 2) if len(found[at + 1].input_ids) == 4 for s in found[at : at + 2]
    ]
    rows = packed_rows(found, WORDS, row_length=64, chance=random_generator(0), with_pairs=True)
    most = 0
    for row, labels in enumerate(rows["pair_labels"]):
        (starts,) = np.nonzero(labels != IGNORED)
        num_pairs = rows["sequence_ids"][row].max() // 2
        most = max(most, num_pairs)
        assert len(starts) == 2 * min(num_pairs, 4)
        assert rows["sequence_ids"][row, starts].tolist() == list(range(1, len(starts) + 1))
        assert (rows["input_ids"][row, starts] == WORDS.cls_id).all()
        assert rows["regimes"][row, starts].tolist() == [Regime.TEXT, Regime.VIDEO] * (len(starts) // 2)
        assert (labels[starts[::2]] == labels[starts[1::2]]).all()
    assert most > 4


def test_halves_of_a_pair_are_cut_to_half_a_row():
    video = document("v", tokens=[1] * 60, sentences=[(0.0, 90.0, "egg " * 60)])
    config = SequenceConfig(row_length=32, joint_weight=0, max_subsampling_step=1)
    found = sequences_of_documents([video], WORDS, config, seed=0, epoch=0, with_pairs=True)
    assert [len(sequence.input_ids) for sequence in found] == [16, 16]
    assert len(packed_rows(found, WORDS, row_length=32, chance=random_generator(0))["input_ids"]) == 1


def test_a_packed_row_holds_its_sequences_whole():
    window = [cooking(number) for number in range(8)]
    sequences = sequences_of_documents(window, WORDS, SequenceConfig(row_length=64), seed=0, epoch=0)
    rows = packed_rows(sequences, WORDS, row_length=64, chance=random_generator(0))
    found = []
    for row in range(len(rows["input_ids"])):
        numbers = rows["sequence_ids"][row]
        for number in range(1, numbers.max() + 1):
            here = numbers == number
            found.append(tuple(rows["input_ids"][row, here]))
            assert rows["position_ids"][row, here].tolist() == list(range(here.sum()))
            assert (rows["alignment_labels"][row, here][1:] == IGNORED).all()
        padding = numbers == 0
        assert (rows["labels"][row, padding] == IGNORED).all()
        assert (rows["regimes"][row, padding] == 0).all()
    assert sorted(found) == sorted(tuple(sequence.input_ids) for sequence in sequences)


@pytest.mark.parametrize(
    "options",
    [
        {"joint_weight": 0, "text_weight": 0, "video_weight": 0},
        {"text_weight": -1},
        {"mask_share": 0},
        {"negative_share": 1},
        {"same_video_share": 1.5},
        {"near_video_share": -0.5},
        {"row_length": 8},
        {"max_joined_sentences": 0},
        {"max_subsampling_step": 0},
    ],
)
def test_senseless_options_are_refused(options: dict[str, float]):
    with pytest.raises(UserError, match=str(next(iter(options.values())))):
        SequenceConfig(**options)  # type: ignore[arg-type]
