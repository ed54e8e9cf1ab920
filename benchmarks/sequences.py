"""Training sequences of random words and clips, as many and as long as a corpus would give: 97 tokens in the
mean, half words and half of 20,736 visual tokens, packed into rows of 256."""

import numpy as np

from vbert.documents.sequences import (
    Regime,
    SequenceConfig,
    TrainingSequence,
    build_sequence,
    random_generator,
)
from vbert.text.joint_vocabulary import JointVocabulary

NUM_VISUAL_TOKENS = 20_736
MEAN_LENGTH, SPREAD, LONGEST = 97, 0.6, 256


def make_sequences(vocabulary: JointVocabulary, *, count: int) -> list[TrainingSequence]:
    """Joint sequences of random words and clips, log-normal in length, masked."""
    chance = random_generator("benchmark")
    config = SequenceConfig(row_length=LONGEST)
    lengths = chance.lognormal(np.log(MEAN_LENGTH) - SPREAD**2 / 2, SPREAD, count).clip(8, LONGEST)
    sequences = []
    for length in lengths.astype(int):
        words = chance.choice(vocabulary.replacement_words, length // 2 - 1)
        clips = chance.integers(vocabulary.visual_offset, vocabulary.size, length - len(words) - 3)
        sequences.append(
            build_sequence(words, clips, vocabulary, config, chance, regime=Regime.JOINT, alignment=1)
        )
    return sequences
