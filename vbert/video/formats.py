"""The formats of files that are opened, by the names of FFmpeg's demuxers.

A positive list: what is left out reads other files or URLs (playlists, descriptions of sessions, numbered
pictures), draws its pictures itself (filters, devices), is a picture or text, or has so few users that nobody
looks after its demuxer.
"""

CONTAINERS = (
    *("mov", "matroska", "avi", "mpegts", "mpegtsraw", "mpeg", "asf", "flv", "live_flv", "kux", "ogg"),
    *("mxf", "gxf", "nut", "ivf", "dv", "rm", "nsv", "pva", "wtv", "ty", "dhav"),
)
BARE_STREAMS = (
    *("h261", "h263", "h264", "hevc", "vvc", "mpegvideo", "m4v", "vc1", "dirac", "cavsvideo", "avs2"),
    *("avs3", "av1", "obu", "mjpeg", "yuv4mpegpipe"),
)
SOUND = ("wav", "w64", "aiff", "au", "caf", "aac", "mp3", "flac", "ac3", "eac3", "dts", "amr", "wv", "tta")
FORMATS = ",".join([*CONTAINERS, *BARE_STREAMS, *SOUND])
