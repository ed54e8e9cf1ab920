"""What a person types: one module for each job, with its options and its summary.

Takes a command line; gives an exit status. `vbert.console` finds the module that is asked for and imports no
other, so that each starts as soon as it can.
"""
