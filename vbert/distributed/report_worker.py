"""What each worker of a report runs: frames of clips, as pictures. It imports no model, nor torch."""

import pyarrow as pa

from vbert.distributed.attempts import Attempts
from vbert.errors import VideoError
from vbert.video.decode_child import DecodeLimits
from vbert.video.isolation import worker_process

WIDTH = 120  # pixels of a frame


class FramesInChild:
    """An actor: rows of video_id, uri, times in, a row a frame that there is out."""

    def __init__(self, *, limits: DecodeLimits) -> None:
        self.process = worker_process(limits)

    def __call__(self, videos: pa.Table) -> pa.Table:
        """A video that is gone or broken has none: the ledger of the next featurize run will tell."""
        schema = pa.schema([("video_id", pa.string()), ("seconds", pa.float64()), ("jpeg", pa.binary())])
        found = []
        attempts = Attempts("decode", videos["video_id"][0].as_py())
        for row in videos.to_pylist():
            try:
                attempts.begin(row["video_id"])
                middles = [seconds + 0.5 for seconds in row["times"]]
                pictures = self.process.thumbnails(row["uri"], middles, width=WIDTH)
            except VideoError:
                continue
            pairs = zip(row["times"], pictures, strict=True)
            found += [
                {"video_id": row["video_id"], "seconds": seconds, "jpeg": jpeg}
                for seconds, jpeg in pairs
                if jpeg
            ]
        attempts.end()
        return pa.Table.from_pylist(found, schema=schema)
