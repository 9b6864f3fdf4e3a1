"""The daemon: wiring, signals, the control socket. Start at `service.py`."""
