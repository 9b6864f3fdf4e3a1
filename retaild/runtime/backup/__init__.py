"""Backups: a copy of the data directory that is consistent by the order in which it is made.

    sqlite files -> models, features, the server's base -> lake -> log

What refers to something is copied before what it refers to: positions of sources are never ahead
of the log, the lake's offset is not either, and a champion's artifact is there. The manifest is
written last: a backup without one was not finished.
"""
