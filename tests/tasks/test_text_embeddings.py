from pathlib import Path

import numpy as np
import pytest

from vbert.errors import UserError
from vbert.tasks.text_embeddings import SentenceEmbedder, WordVectors

GLOVE = "cut 1 0 0\nslice 0.8 0.6 0\negg 0 0 2\n"


def test_minilm_knows_what_means_the_same():
    embedder = SentenceEmbedder("minilm")
    texts = ["cut the onion into slices", "slicing an onion", "a man plays the guitar", "he is playing music"]
    vectors = embedder.embed(texts)
    assert vectors.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    alike = vectors @ vectors.T
    assert alike[0, 1] > alike[0, 2] + 0.3
    assert alike[2, 3] > alike[1, 3] + 0.3
    np.testing.assert_allclose(embedder.embed(texts[2:3])[0], vectors[2], atol=1e-5)  # padding does not count
    assert embedder.embed([]).shape == (0, 384)


def test_a_model_that_is_not_there_is_the_users_mistake():
    with pytest.raises(UserError, match="/no/such/model: no encoder of texts"):
        SentenceEmbedder("/no/such/model")


@pytest.mark.parametrize("header", ["", "3 3\n"])
def test_a_texts_vector_is_the_mean_of_its_words(header: str, tmp_path: Path):
    (tmp_path / "glove.txt").write_text(header + GLOVE)
    found = WordVectors(str(tmp_path / "glove.txt")).embed(["Cut, slice!", "the egg", "nothing known", ""])
    expected = np.array([0.9, 0.3, 0]) / np.hypot(0.9, 0.3)
    np.testing.assert_allclose(found, [expected, [0, 0, 1], [0, 0, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("content", ["", "a 1 2\nb 3\n", "a x y\n"])
def test_another_file_is_the_users_mistake(content: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(UserError, match=r"a.txt: is no text file of word vectors"):
        WordVectors(str(tmp_path / "a.txt"))
    with pytest.raises(UserError, match=r"gone.txt: cannot be read"):
        WordVectors(str(tmp_path / "gone.txt"))
