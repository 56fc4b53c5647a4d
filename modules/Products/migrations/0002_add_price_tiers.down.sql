-- ringlock: safe-down
-- Tiers are imported from the catalogue file again by the next upgrade.
drop table product_price_tiers;
