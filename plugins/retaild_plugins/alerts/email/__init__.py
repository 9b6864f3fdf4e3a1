"""E-mail: plain text, by SMTP over TLS."""
