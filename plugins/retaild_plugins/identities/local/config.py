"""Settings of the local identity provider."""

from __future__ import annotations

from pydantic import Field

from retaild.api import Config


class LocalConfig(Config):
    """The defaults follow RFC 9106's second recommendation with as much memory as a small box has:
    about 0.15 s of one core for a login."""

    memory_mib: int = Field(
        default=64, ge=19, le=1024,
        description="Memory that argon2id takes for one hash. Existing hashes are made anew at the "
        "next login of their users when this, `passes` or `lanes` grows.",
    )  # fmt: skip
    passes: int = Field(default=2, ge=2, le=20, description="How often argon2id goes over it.")
    lanes: int = Field(default=1, ge=1, le=8, description="How many cores it may use at once.")
    minimum_length: int = Field(
        default=10, ge=10, le=128, description="Fewest characters of a password."
    )
