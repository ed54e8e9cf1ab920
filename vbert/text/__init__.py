"""What is said: transcripts, captions, recognised speech; word pieces.

Takes files of captions or sound; gives sentences with their times, and the ids of words and visual tokens
in one space. Promises that times ascend and that what cannot be read is an error with its reason.
"""
