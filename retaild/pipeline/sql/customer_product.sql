-- table: gold.customer_product
-- reads: silver.sale
-- summary: How often, how much and when each customer bought each product.
--
-- Lines of type `sale` only; times_bought counts receipts, not lines. Times are UTC.
WITH bought AS (
    SELECT
        customer_id, product_id, store, receipt_id, SUM(quantity) AS quantity,
        SUM(amount) AS revenue, MIN(event_time) AS first_time, MAX(event_time) AS last_time
    FROM silver_sale
    WHERE line_type = 'sale' AND customer_id IS NOT NULL
    GROUP BY customer_id, product_id, store, receipt_id
)
SELECT
    customer_id,
    product_id,
    CAST(COUNT(*) AS BIGINT) AS times_bought,
    CAST(SUM(quantity) AS DOUBLE) AS quantity,
    CAST(SUM(revenue) AS DECIMAL(18, 4)) AS revenue,
    MIN(first_time) AS first_time,
    MAX(last_time) AS last_time
FROM bought
GROUP BY customer_id, product_id
