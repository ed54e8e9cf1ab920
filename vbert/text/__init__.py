"""What is said: transcripts, captions, recognised speech; word pieces.

Takes files of captions or sound; gives sentences with their times, and the ids of words and visual tokens
in one space. Promises that times ascend and that what cannot be read is an error with its reason.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "joint_vocabulary": ["JointVocabulary"],
        "transcripts": ["Sentence", "read_transcript"],
    },
)
