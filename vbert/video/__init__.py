"""A video file: opened, probed, cut into segments, decoded to clips; its sound; its thumbnails.

Takes a file; gives frames, sound and facts of its header. Promises memory that does not grow with the
length, and a VideoError with stage and reason for whatever is wrong with a file: what crashes, hangs or
grows is in a process apart.
"""

import lazy_loader

# Imported when they are asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "decode": ["decode_clips"],
        "frame_grid": ["ClipSpec"],
        "media": ["VideoProbe", "plan_segments", "probe_video"],
    },
)
