"""Prices, the host's side: what is known of a product, proposals, decisions, the ledger."""
