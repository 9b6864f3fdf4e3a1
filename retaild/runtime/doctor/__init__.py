"""`retaildctl doctor`: looks for what is wrong or soon will be, explains it, mends what is safe.

Works with and without a running daemon, and with a state or configuration that cannot be read.
"""
