"""One HTML page about a corpus and a model.

Takes the facts; gives a page that fetches nothing and runs nothing but its own script.
"""
