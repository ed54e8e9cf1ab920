"""Transcripts in the encodings of other days, of a few cues each."""

import pytest

from vbert.text.encodings import decode_and_say

SAID = {
    "cp1252": [
        "Bonjour à tous, aujourd'hui nous allons préparer une crème brûlée. Tout d'abord, séparez les œufs.",
        "Hola a todos, hoy vamos a cocinar una tortilla española. ¿Están listos? Añadan el jamón. ¡Qué rico!",
        "Heute kochen wir Käsespätzle. Dann fügen wir den Käse hinzu. Das schmeckt großartig, natürlich.",
        "Olá pessoal, hoje vamos fazer pão de queijo. Depois, não esqueça o óleo. É muito fácil, então.",
        "Ciao a tutti, oggi prepariamo il tiramisù. Perché è così buono? Più tardi, la città è bella.",
        "It’s a “great” dish – isn’t it? Let’s cook… now.",  # noqa: RUF001
    ],
    "cp1250": [
        "Dzień dobry, dziś ugotujemy żurek. Najpierw pokrój cebulę. Następnie dodaj mięso. Świetnie!",
        "Dobrý den, dnes budeme vařit svíčkovou. Nejdříve nakrájíme cibuli. Výborně, už je hotovo.",
    ],
    "cp1251": ["Здравствуйте, сегодня мы будем готовить борщ. Сначала нарежьте лук. Затем добавьте мясо."],
    "koi8-r": ["Здравствуйте, сегодня мы будем готовить борщ. Сначала нарежьте лук. Затем добавьте мясо."],
    "cp1253": ["Γεια σας, σήμερα θα μαγειρέψουμε μουσακά. Πρώτα κόψτε το κρεμμύδι."],
    "cp1254": ["Merhaba, bugün börek yapacağız. Önce soğanı doğrayın. Sonra eti ekleyin. Çok güzel."],  # noqa: RUF001
    "cp1255": ["שלום לכולם, היום נבשל חמין. קודם חותכים את הבצל."],
    "cp1256": ["مرحبا، اليوم سنطبخ الكبسة. أولا قطع البصل. ثم أضف اللحم."],
    "gb18030": ["大家好，今天我们来做麻婆豆腐。首先切葱。然后加入牛肉。非常好吃，谢谢观看。"],  # noqa: RUF001
    "big5": ["大家好，今天我們來做麻婆豆腐。首先切蔥。然後加入牛肉。非常好吃，謝謝觀看。"],  # noqa: RUF001
    "shift_jis": ["みなさん、こんにちは。今日は肉じゃがを作ります。まず玉ねぎを切ります。"],
    "euc_jp": ["みなさん、こんにちは。今日は肉じゃがを作ります。まず玉ねぎを切ります。"],
    "cp949": ["안녕하세요, 오늘은 김치찌개를 만들어 보겠습니다. 먼저 양파를 썰어 주세요."],
}


@pytest.mark.parametrize(
    ("encoding", "said"), [(encoding, text) for encoding, texts in SAID.items() for text in texts]
)
@pytest.mark.parametrize("num_cues", [1, 20])
def test_what_is_no_utf8_is_read_in_the_encoding_of_its_language(encoding: str, said: str, num_cues: int):
    cues = [f"{n}\r\n00:00:0{n % 10},000 --> 00:00:10,000\r\n{said}\r\n\r\n" for n in range(num_cues)]
    text, (note,) = decode_and_say("".join(cues).encode(encoding))
    assert text == "".join(cues).replace("\r\n", "\n")
    assert note.startswith("read as ")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("said", ["Cut the leek.", "Нарежьте лук.", "首先切葱"])
def test_utf16_needs_no_mark(encoding: str, said: str):
    """Cyrillic letters in it are bytes below 128, which are UTF-8, too."""
    cue = f"1\n00:00:01,000 --> 00:00:10,000\n{said}\n"
    assert decode_and_say(cue.encode(encoding)) == (cue, [f"read as {encoding}"])
