"""transformers' own common tests, run on all our model classes: what any of its models does, ours do."""

import subprocess
import unittest
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import torch

from tests.model.transformers_tests import modeling_common
from tests.tiny import bert_config
from vbert.model.configuration_videobert import VideoBertCaptioningConfig, VideoBertConfig, from_bert_config
from vbert.model.modeling_captioning import VideoBertForCaptioning
from vbert.model.modeling_heads import (
    VideoBertForClassification,
    VideoBertForClipScoring,
    VideoBertForMultipleChoice,
    VideoBertForRetrieval,
)
from vbert.model.modeling_videobert import VideoBertForPreTraining, VideoBertModel

try:
    common: Any = modeling_common()
except subprocess.CalledProcessError as error:
    WHY_NOT = error.stderr
    common = SimpleNamespace(ModelTesterMixin=object)
else:
    WHY_NOT = ""

# Theirs warn of what they do themselves.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]


def test_they_are_there() -> None:
    """CI, which takes no skip, fails without them."""
    if WHY_NOT:
        pytest.skip(f"transformers' source distribution cannot be had: {WHY_NOT}")


class VideoBertModelTester:
    """Sizes and inputs, by the names that the common tests know."""

    batch_size, seq_length, is_training = 6, 7, True
    vocab_size, num_visual_tokens = 99, 27
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4

    def get_config(self) -> VideoBertConfig:
        """Small, and with words and visual tokens of about the same number."""
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        bert = bert_config(intermediate_size=37, **{name: getattr(self, name) for name in sizes})
        return from_bert_config(bert, num_visual_tokens=self.num_visual_tokens)

    def prepare_config_and_inputs_for_common(self) -> tuple[VideoBertConfig, dict[str, Any]]:
        """Ids of the whole joint vocabulary."""
        config, shape = self.get_config(), [self.batch_size, self.seq_length]
        return config, {
            "input_ids": common.ids_tensor(shape, config.joint_vocab_size),
            "attention_mask": common.random_attention_mask(shape),
            "token_type_ids": common.ids_tensor(shape, 2),
        }


class CommonTests(common.ModelTesterMixin):
    """With inputs and labels as our classes take them."""

    with_labels = True

    def setUp(self) -> None:
        """The encoder is known to be one: it has no loss to train with."""
        if WHY_NOT:
            self.skipTest(WHY_NOT)
        known = patch.dict(common.MODEL_MAPPING_NAMES, videobert=VideoBertModel.__name__)
        known.start()
        self.addCleanup(known.stop)
        self.model_tester = VideoBertModelTester()

    @pytest.mark.seconds(10)  # each model is opened 15 times
    def test_bc_torch_dtype(self) -> None:
        """As it is."""
        super().test_bc_torch_dtype()

    def test_model_outputs_equivalence(self) -> None:
        """Without labels: for its message theirs subtracts outputs, which torch refuses for `is_right`."""
        self.with_labels = False
        super().test_model_outputs_equivalence()

    def _prepare_for_class(self, inputs: Any, model_class: type, return_labels: bool = False) -> Any:  # noqa: FBT002
        inputs = super()._prepare_for_class(inputs, model_class)
        rows, length = inputs["input_ids"].shape
        if model_class is VideoBertForMultipleChoice:
            inputs["options"] = torch.arange(rows)[None]  # one question
        if model_class is VideoBertForRetrieval:
            inputs["is_video"] = torch.arange(rows) >= rows // 2
        labels = {
            VideoBertForPreTraining: {
                "labels": torch.zeros(rows, length, dtype=torch.int64),
                "alignment_labels": torch.zeros(rows, length, dtype=torch.int64),
            },
            VideoBertForClassification: {"labels": torch.zeros(rows, dtype=torch.int64)},
            VideoBertForMultipleChoice: {"labels": torch.zeros(1, dtype=torch.int64)},
            VideoBertForRetrieval: {"text_numbers": torch.arange(rows // 2)},
            VideoBertForClipScoring: {"labels": torch.full((rows, length), 0.5)},
            VideoBertForCaptioning: {"labels": torch.zeros(rows, 5, dtype=torch.int64)},
        }
        return inputs | (labels.get(model_class, {}) if return_labels and self.with_labels else {})


@pytest.mark.library
class VideoBertModelTest(CommonTests, unittest.TestCase):
    """The encoder and what it is pretrained with."""

    all_model_classes = (VideoBertModel, VideoBertForPreTraining)


@pytest.mark.library
class VideoBertHeadsTest(CommonTests, unittest.TestCase):
    """The heads of the tasks."""

    all_model_classes = (
        VideoBertForClassification,
        VideoBertForMultipleChoice,
        VideoBertForRetrieval,
        VideoBertForClipScoring,
    )

    def test_batching_equivalence(self, *args: Any, **kwargs: Any) -> None:
        """Of options and of pairs each is told from the others in its batch: they have none alone."""
        self.all_model_classes = (VideoBertForClassification, VideoBertForClipScoring)
        super().test_batching_equivalence(*args, **kwargs)


@pytest.mark.library
class VideoBertCaptioningTest(CommonTests, unittest.TestCase):
    """The caption writer."""

    all_model_classes = (VideoBertForCaptioning,)
    is_encoder_decoder = True

    # The source distribution leaves GenerationTesterMixin out; test_modeling_captioning.py has such checks.
    test_generation_tester_mixin_inheritance = None
    # As any EncoderDecoderModel it is its own base, and has its halves' vocabularies resized each by itself.
    test_model_base_model_prefix = None
    test_model_get_set_embeddings = None
    test_resize_tokens_embeddings = None
    test_resize_embeddings_untied = None

    def setUp(self) -> None:
        """The same encoder, and a decoder over its word pieces."""
        super().setUp()
        self.model_tester = VideoBertCaptioningTester()


class VideoBertCaptioningTester(VideoBertModelTester):
    """With a caption to go on writing."""

    decoder_seq_length = 5

    def get_config(self) -> VideoBertCaptioningConfig:
        """An encoder and a decoder of the same size."""
        encoder = super().get_config()
        sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
        decoder = bert_config(
            intermediate_size=37,
            is_decoder=True,
            add_cross_attention=True,
            **{name: getattr(self, name) for name in sizes},
        )
        return VideoBertCaptioningConfig.from_encoder_decoder_configs(
            encoder, decoder, decoder_start_token_id=1, pad_token_id=0, eos_token_id=2
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, Any]]:
        """Ids of the whole joint vocabulary; word pieces for the decoder."""
        _, inputs = VideoBertModelTester().prepare_config_and_inputs_for_common()
        shape = [self.batch_size, self.decoder_seq_length]
        return self.get_config(), inputs | {"decoder_input_ids": common.ids_tensor(shape, self.vocab_size)}
