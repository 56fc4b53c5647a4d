#!/usr/bin/env python3
"""Products: reads the catalogue, checks it and quotes prices in minor units (cents).

Usage:
  products.py list                    the catalogue as JSON
  products.py quote SKU [QUANTITY]    the price of a quantity, with its tier
  products.py check                   exit 1 if the catalogue contradicts itself
"""

import json
import sys
from pathlib import Path

CATALOGUE = Path(__file__).parent / "catalogue" / "products.json"


def load(path: Path = CATALOGUE) -> dict:
    """The products by SKU."""
    return {product["sku"]: product for product in json.loads(path.read_text())["products"]}


def quote(product: dict, quantity: int) -> dict:
    """The unit price is that of the largest tier the quantity reaches."""
    if quantity < 1:
        raise ValueError(f"quantity is {quantity}, expected at least 1")
    unit = product["price"]
    for tier in sorted(product.get("tiers", []), key=lambda tier: tier["from"]):
        if quantity >= tier["from"]:
            unit = tier["price"]
    return {"sku": product["sku"], "quantity": quantity, "unit": unit, "total": unit * quantity}


def problems(products: dict) -> list[str]:
    """What a person should mend before the catalogue is published."""
    found = []
    for sku, product in products.items():
        if not isinstance(product["price"], int) or product["price"] < 0:
            found.append(f"{sku}: the price is {product['price']!r}, expected whole minor units")
        prices = [product["price"]]
        prices += [tier["price"] for tier in sorted(product.get("tiers", []), key=lambda t: t["from"])]
        if prices != sorted(prices, reverse=True):
            found.append(f"{sku}: a larger quantity costs more for each: {prices}")
    return found


def main(arguments: list[str]) -> int:
    products = load()
    match arguments:
        case ["list"]:
            print(json.dumps({"products": list(products.values())}, indent=2))
        case ["quote", sku, *rest] if sku in products and len(rest) <= 1:
            print(json.dumps(quote(products[sku], int(rest[0]) if rest else 1)))
        case ["quote", sku, *_]:
            print(f"products: no product {sku}, there are {', '.join(products)}", file=sys.stderr)
            return 1
        case ["check"]:
            found = problems(products)
            print("\n".join(found) or f"{len(products)} products, no problem")
            return 1 if found else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
