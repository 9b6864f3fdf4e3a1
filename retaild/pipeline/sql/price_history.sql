-- table: gold.price_history
-- reads: gold.product_day, silver.price
-- summary: Every change of a product's price, seen at the till or announced by the store.
--
-- `observed`: the modal price of a day on which the product sold, where it differs from that of the
-- last day before on which it sold; valid from 00:00 UTC of that day. `announced`: the price
-- ledger, every entry from its own `valid_from`, whether or not the price differs.
WITH daily AS (
    SELECT
        product_id, day, modal_price,
        LAG(modal_price) OVER (PARTITION BY product_id ORDER BY day) AS previous_price
    FROM gold_product_day
)
SELECT
    product_id, CAST(day AS TIMESTAMP) AS valid_from, modal_price AS price, 'observed' AS kind
FROM daily
WHERE previous_price IS NULL OR modal_price <> previous_price
UNION ALL
SELECT product_id, valid_from, price, 'announced' AS kind
FROM silver_price
