"""Prices: demand with shrunken own-price elasticities, and an optimiser bound by rules."""
