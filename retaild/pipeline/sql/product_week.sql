-- table: gold.product_week
-- reads: silver.sale
-- summary: What each product sold in each ISO week (Monday, UTC) and at what price.
--
-- Lines of type `sale` only. Weeks without a sale have no row. `price` is the unit price that most
-- lines of the week carry (among equals the one that moved more units, then the lower); avg_price
-- is revenue / units; min_price and max_price are over the unit prices of the lines.
WITH line AS (
    SELECT
        product_id, CAST(DATE_TRUNC('week', event_time) AS DATE) AS week, store, receipt_id,
        unit_price, quantity, amount
    FROM silver_sale
    WHERE line_type = 'sale'
),
priced AS (
    SELECT product_id, week, unit_price, COUNT(*) AS lines, SUM(quantity) AS units
    FROM line
    GROUP BY product_id, week, unit_price
),
ranked AS (
    SELECT
        product_id, week, unit_price,
        ROW_NUMBER() OVER (
            PARTITION BY product_id, week ORDER BY lines DESC, units DESC, unit_price
        ) AS place
    FROM priced
),
bought AS (
    SELECT
        product_id, week, store, receipt_id, SUM(quantity) AS units, SUM(amount) AS revenue,
        MIN(unit_price) AS min_price, MAX(unit_price) AS max_price
    FROM line
    GROUP BY product_id, week, store, receipt_id
),
sold AS (
    SELECT
        product_id, week, SUM(units) AS units, SUM(revenue) AS revenue, COUNT(*) AS receipts,
        MIN(min_price) AS min_price, MAX(max_price) AS max_price
    FROM bought
    GROUP BY product_id, week
)
SELECT
    sold.product_id,
    sold.week,
    ranked.unit_price AS price,
    CAST(sold.units AS DOUBLE) AS units,
    CAST(sold.revenue AS DECIMAL(18, 4)) AS revenue,
    CAST(sold.receipts AS BIGINT) AS receipts,
    CAST(sold.revenue AS DOUBLE) / NULLIF(CAST(sold.units AS DOUBLE), 0) AS avg_price,
    sold.min_price,
    sold.max_price
FROM sold
JOIN ranked ON ranked.product_id = sold.product_id AND ranked.week = sold.week AND ranked.place = 1
