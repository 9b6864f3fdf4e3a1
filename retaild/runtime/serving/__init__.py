"""The serve worker's memory: facts from the lake's snapshot and the log's tail, and the answers.

Everything here but `writer` runs in the thread of the event loop. Control flow in one line: base
snapshot -> `Facts` <- log tail; `Facts` + model -> `Answers` -> bytes on the wire.
"""
