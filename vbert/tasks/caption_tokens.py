"""The words that COCO's caption metrics compare: Penn Treebank tokens without punctuation.

As pycocoevalcap's PTBTokenizer gives them, which asks Stanford's PTBLexer (CoreNLP 3.4.1, in Java): in small
letters, contractions cut (`do n't`), numbers, fractions, abbreviations and words with hyphens whole, and then
its list of punctuation left out. Brackets stay, as `-lrb-`, since that list has them in capitals; so do `?!`
and `!!`. Of 9,712 lines of technical prose 24 come out otherwise: long paths of files, versions such as
2.1.x, a single letter before a full stop.
"""

import re

# What the lexer knows with a full stop that is its own: found by asking it.
ABBREVIATIONS = (
    "mr|mrs|ms|dr|drs|st|ste|mt|ft|jr|sr|esq|vs|etc|inc|co|corp|ltd|bros|cos|prof|rev|gen|col|lt|sgt|capt|cmdr|"
    "govs?|sens?|reps?|hon|pres|adm|maj|pvt|cpl|supt|msgr|mme|mlle|messrs|asst|assoc|dept|univ|ave|blvd|rd|bldg|"
    "sq|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|mon|tues?|wed|thu|thurs|fri|ala|ariz|calif|colo|conn|fla|"
    r"ga|ind|kan|ky|md|mich|minn|mo|mont|neb|nev|okla|penn|tenn|vt|va|wis|wyo|al|seq|est|ext|cf|invt|elec|natl|"
    r"mfg|pty|plc|ph\.d"
)
CAPITAL_ABBREVIATIONS = "Ark|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"  # in small letters these are words
# An apostrophe that belongs to the word.
APOSTROPHES = r"'em|'n|'till?|'cause|'\d0s|'\d\d|o'er|e'er|ne'er|nor'easter|ev'ry|s'mores|li'l|nat'l"
CUT_IN_TWO = {
    **{word: (word[:3], word[3:]) for word in ("gonna", "gotta", "wanna", "gimme", "lemme", "cannot")},
    "'twas": ("'t", "was"),
    "'tis": ("'t", "is"),
}
WRITTEN_AS = {
    "’": "'",
    "‐": "-",
    "‑": "-",
    "\u200b": " ",
    "½": " 1/2",
    "¼": " 1/4",
    "¾": " 3/4",
    "£": "#",
    "€": "$",
    "¢": " cents ",
    "\xad": "",
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
}
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
PUNCTUATION = frozenset("'`\"“”‘«»‹›.?!,:;…–—―")

L, D = r"[^\W\d_]", r"[^\W_]"  # a letter; a letter or digit
TOKEN = re.compile(
    rf"""
    https?://[^\s"<>|()]*[^\s"<>|().!?{{}},-] | www\.[^\s"<>|()]*[^\s"<>|().!?{{}},-]
    | </?[A-Za-z][^<>]*>                                            # a tag
    | [\w.+-]+@{D}+(?:\.{D}+)+ | [@\#][A-Za-z_]\w*                  # addresses, names, topics
    | [:;=]-?[()DdPp](?!\w)                                         # smileys
    | (?i:{ABBREVIATIONS})\.(?!{D})
    | (?:{CAPITAL_ABBREVIATIONS})\.(?!{D})
    | (?i:nos?|figs?)\.(?=\s*\d)
    | (?:{L}\.)+-{D}+(?:-{D}+)* | (?:{D}+-)+(?:{L}\.){{2,}}         # U.S.-based
    | {L}(?:\.{L})*\.(?!{D})                                        # u.s., p.m., one letter
    | (?i:'n'|ol'|somethin'|dunkin'|(?:{APOSTROPHES})(?!{D}))
    | (?i:'t(?=was\b|is\b))
    | [A-HJ-XZdlno]'{L}{{2,}}+                                      # o'clock, D'Angelo
    | [LlDdJjYy]'(?!(?i:s|m|d|ll|re|ve)\b)(?={L})
    | (?i:n't|'(?:[smd]|ll|re|ve))(?!{D})
    | (?i:cont(?='d\b))
    | {L}+?(?=(?i:n't)(?!{D}))                                      # what n't is cut from
    | (?i:{L}+[aeiouy]'[aeiou]{L}*+)                                # ma'am
    | [+-]?\d*(?:[.,:]\d+)+-{D}+(?:-{D}+)*                          # 1.5-inch
    | {D}+(?:-{D}+)*(?:/{D}+(?:-{D}+)*){{1,2}} | {D}+(?:-{D}+)+     # 1/2, and/or, black-and-white
    | (?<![\w.])[+-]\d+(?:[.,:]\d+)* | \d*(?:[.,:]\d+)+             # -5, 3,000, 10:30
    | [A-Z]+(?:&[A-Z]+)+                                            # AT&T
    | (?i:c\+\+|[cf]\#)
    | {L}{D}*(?:[.!?_]{L}{D}*)* | {D}+ | \w+                        # file.txt
    | -{{2,}} | [!?]{{2,}} | \.{{3,}}
    | \S
    """,
    re.VERBOSE,
)


def caption_tokens(text: str) -> list[str]:
    """The tokens of a caption, in small letters and without punctuation."""
    for written, meant in WRITTEN_AS.items():
        text = text.replace(written, meant)
    found: list[str] = []
    for token in TOKEN.findall(text):
        small = token.lower()
        if small in PUNCTUATION or set(small) in ({"-"}, {"."}):
            continue
        if len(small) <= 3:
            for bracket, name in BRACKETS.items():
                small = small.replace(bracket, name)
        found += CUT_IN_TWO.get(small) or small.split()
    return found
