"""Reading, merging and checking the configuration. Start at `settings.py`.

`paths` and `locate` cost the standard library only: `retaildctl status` needs no more.
"""
