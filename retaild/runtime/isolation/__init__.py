"""Processes for components: forked from a preloaded server, watched, limited, put into quarantine.

    supervisor -> server (the daemon's side) -> forkserver (a process) -> birth -> component.main

`watch` says what a family of processes may not do, `verdict` what follows when one ended.
"""
