"""Languages of speech, and how much of it English word pieces know."""

import pytest

from vbert.text.language import facts_of_speech, language_of_speech, whole_word_share

SAID = {
    "eng": "okay so now let me show you how to chop the onion and fry it in a little butter",
    "deu": "jetzt zeige ich euch, wie man die Zwiebel schneidet und in etwas Butter goldbraun brät",
    "spa": "ahora os voy a enseñar cómo cortar la cebolla y freírla en un poco de mantequilla",
    "fra": "maintenant je vais vous montrer comment couper l'oignon et le faire revenir dans du beurre",
    "rus": "сейчас я покажу, как нарезать лук и обжарить его на масле",
    "zho": "现在我给大家演示怎么切洋葱,然后用一点黄油炒到金黄色为止,今天我们来给这辆车换机油",
}


@pytest.mark.parametrize("language", SAID)
def test_a_language_is_known_by_a_sentence(language: str):
    assert language_of_speech([SAID[language]]) == language


@pytest.mark.parametrize("sentences", [[], ["Hm."], ["12 34 56 78 90 12 34 56 78 90"]])
def test_of_too_little_nothing_is_said(sentences: list[str]):
    assert language_of_speech(sentences) is None


def test_english_words_are_whole_and_others_are_not():
    assert whole_word_share([SAID["eng"]]) == 1.0
    for language in set(SAID) - {"eng"}:
        share = whole_word_share([SAID[language]])
        assert share is not None
        assert share < 0.6, language


def test_whole_words_by_hand():
    # bert-base-uncased has "the" and "onion"; "unscrewing" is uns ##cre ##wing there, "привет" its letters.
    assert whole_word_share(["The onion, 3 unscrewing.", "привет"]) == pytest.approx(2 / 4)
    assert whole_word_share(["3, 4!"]) is None
    assert whole_word_share([]) is None


def test_a_stated_language_goes_before_what_is_heard():
    said = ["Now let me show you how to chop the onion."]
    assert facts_of_speech(said, stated=None) == {"language": "eng", "whole_word_share": 1.0}
    assert facts_of_speech(said, stated="deu")["language"] == "deu"
    assert facts_of_speech([], stated="deu") == {"language": None, "whole_word_share": None}
