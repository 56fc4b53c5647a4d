import unittest
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import products


class Quote(unittest.TestCase):
    def test_takes_the_largest_tier_that_the_quantity_reaches(self):
        mug = products.load()["MUG-BLUE"]
        self.assertEqual([products.quote(mug, n)["unit"] for n in (1, 6, 23, 24)], [1250, 1150, 1150, 990])

    def test_refuses_a_quantity_below_one(self):
        with self.assertRaises(ValueError):
            products.quote(products.load()["GIFT-WRAP"], 0)


class Check(unittest.TestCase):
    def test_names_a_tier_that_costs_more(self):
        wrong = {"X": {"sku": "X", "price": 100, "tiers": [{"from": 2, "price": 120}]}}
        self.assertIn("X: a larger quantity costs more", products.problems(wrong)[0])

    def test_finds_nothing_wrong_with_the_shipped_catalogue(self):
        self.assertEqual(products.problems(products.load()), [])


if __name__ == "__main__":
    unittest.main()
