"""Flink: a session cluster on this machine, and a stream processor that runs on one."""
