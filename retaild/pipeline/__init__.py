"""What flows, without engine code: stream steps, batch SQL files, feature definitions."""
