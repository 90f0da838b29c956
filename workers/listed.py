"""What models cost, as the `genai-prices` tables list it.

Apart from prices.py because the tables take a tenth of a worker's start to load: who names no model
need not wait for them.
"""

from collections.abc import Mapping
from decimal import Decimal

from genai_prices import Usage, calc_price
from genai_prices.types import TieredPrices

from workers.prices import Rate


def listed(model: str) -> Mapping[str, Rate]:
    """Return a model's rates by the tables' own names for them, or raise LookupError."""
    provider, _, name = model.rpartition(":")
    found = vars(calc_price(Usage(), name, provider_id=provider or None).model_price)
    return {kind: rate for kind, said in found.items() if (rate := _rate(said)) is not None}


def _rate(said: object) -> Rate | None:
    if isinstance(said, TieredPrices):
        tiers = sorted((tier.start, tier.price) for tier in said.tiers)
        return Rate(said.base, tuple(tiers))
    return Rate(said) if isinstance(said, Decimal) else None
