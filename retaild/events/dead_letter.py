"""What could not be taken in, kept with its bytes so that it can be replayed after a fix."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field

from retaild.events.base import Event, Identifier, Text


class DeadLetter(Event):
    """A row or message that was refused.

    `event_id` derives from source, place and bytes: reading a bad file twice adds nothing.
    """

    # Refused bytes are seldom text: in JSON they travel as base64.
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    family: ClassVar[str] = "dead_letter"

    target: Text = Field(description="The family it was meant for; empty when unknown.")
    place: Text = Field(description="Where: 'tills.csv row 17', 'POST /api/v1/events #3'.")
    reason_key: Identifier
    reason: Text = Field(description="What is wrong, and what to do about it.")
    raw: bytes = Field(description="The refused bytes; card numbers in them are masked.")
    format: Text = Field(default="", description="How to read raw again: 'csv', 'json'.")
