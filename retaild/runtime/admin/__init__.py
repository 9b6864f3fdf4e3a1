"""What the admin panel and `retaildctl` show of a running shop, read from state, registry and lake.

These calls touch sqlite and files for some milliseconds: from an event loop, call them in a thread.
"""
