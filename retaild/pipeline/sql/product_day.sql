-- table: gold.product_day
-- reads: silver.sale
-- summary: What each product sold on each day (UTC): units, revenue, receipts, customers, prices.
--
-- Lines of type `sale` only: returns, services and adjustments are left out.
-- avg_price is revenue / units. modal_price is the unit price that most lines of the day carry;
-- among equals the one that moved more units, then the lower.
WITH line AS (
    SELECT
        product_id, CAST(event_time AS DATE) AS day, store, receipt_id, customer_id,
        unit_price, quantity, amount
    FROM silver_sale
    WHERE line_type = 'sale'
),
priced AS (
    SELECT product_id, day, unit_price, COUNT(*) AS lines, SUM(quantity) AS units
    FROM line
    GROUP BY product_id, day, unit_price
),
ranked AS (
    SELECT
        product_id, day, unit_price,
        ROW_NUMBER() OVER (
            PARTITION BY product_id, day ORDER BY lines DESC, units DESC, unit_price
        ) AS place
    FROM priced
),
bought AS (
    SELECT
        product_id, day, store, receipt_id, MAX(customer_id) AS customer_id,
        SUM(quantity) AS units, SUM(amount) AS revenue
    FROM line
    GROUP BY product_id, day, store, receipt_id
),
sold AS (
    SELECT
        product_id, day, SUM(units) AS units, SUM(revenue) AS revenue, COUNT(*) AS receipts,
        COUNT(DISTINCT customer_id) AS customers
    FROM bought
    GROUP BY product_id, day
)
SELECT
    sold.product_id,
    sold.day,
    CAST(sold.units AS DOUBLE) AS units,
    CAST(sold.revenue AS DECIMAL(18, 4)) AS revenue,
    CAST(sold.receipts AS BIGINT) AS receipts,
    CAST(sold.customers AS BIGINT) AS customers,
    CAST(sold.revenue AS DOUBLE) / NULLIF(CAST(sold.units AS DOUBLE), 0) AS avg_price,
    ranked.unit_price AS modal_price
FROM sold
JOIN ranked ON ranked.product_id = sold.product_id AND ranked.day = sold.day AND ranked.place = 1
