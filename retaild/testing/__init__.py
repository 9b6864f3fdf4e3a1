"""For authors of plugins: one conformance suite per plugin kind. Needs pytest."""
