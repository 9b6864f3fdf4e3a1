"""Who may do what: roles, permissions, keys, sessions, and the audit log."""
