-- table: gold.price_history
-- reads: gold.product_week, silver.price
-- summary: Every change of a product's price, seen at the till or announced by the store.
--
-- `observed`: the modal price of a week, where it differs from that of the week before it in which
-- the product sold; valid from that Monday 00:00 UTC. Single days and weeks of one or two receipts
-- are left out, unless the product never had more: what one customer paid (a quantity break, another
-- price list) is not the shelf's price. `announced`: the price ledger, every entry from its own
-- `valid_from`, whether or not the price differs.
WITH weekly AS (
    SELECT
        product_id, week, price, receipts,
        MAX(receipts) OVER (PARTITION BY product_id) AS most_receipts
    FROM gold_product_week
),
seen AS (
    SELECT
        product_id, week, price,
        LAG(price) OVER (PARTITION BY product_id ORDER BY week) AS previous_price
    FROM weekly
    WHERE receipts >= LEAST(3, most_receipts)
)
SELECT
    product_id, CAST(week AS TIMESTAMP) AS valid_from, price, 'observed' AS kind
FROM seen
WHERE previous_price IS NULL OR price <> previous_price
UNION ALL
SELECT product_id, valid_from, price, 'announced' AS kind
FROM silver_price
