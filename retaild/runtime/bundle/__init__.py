"""The debug bundle: what a helper needs to understand a fault, and nothing about anyone.

It says what is allowed, not what is forbidden: chosen columns of the state, settings of which only
the host's own are shown, and of every text only words that stand in the program's own messages.
"""
