"""How the process of a component or a worker says why it ended (sysexits.h)."""

from __future__ import annotations

#: It failed in a way nobody foresaw: counts towards quarantine.
EXIT_FAILURE = 1
#: Of a worker: it said in words what is wrong (RetaildError), which a person has to mend.
EXIT_TOLD = 69
#: What it depends on cannot be reached now (TransientError): tried again for ever, never
#: quarantined, but told as an alert.
EXIT_TEMPORARY = 75
#: Its settings are wrong (ConfigError): quarantined at once, until they are changed.
EXIT_CONFIG = 78
