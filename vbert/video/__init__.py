"""A video file: opened, probed, cut into segments, decoded to clips; its sound; its thumbnails.

Takes a file; gives frames, sound and facts of its header. Promises memory that does not grow with the
length, and a VideoError with stage and reason for whatever is wrong with a file: what crashes, hangs or
grows is in a process apart.
"""
