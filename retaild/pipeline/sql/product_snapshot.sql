-- table: gold.product_snapshot
-- reads: silver.sale
-- summary: What was known of each product at each Monday 00:00 UTC, from sales before it alone.
--
-- A row per product and moment, from the first moment after the product's first sale on. Moments
-- are the Mondays and, as the last one, the second after the newest sale in the lake. A row uses
-- lines of type `sale` with event_time < event_timestamp only. A receipt counts at the time of the
-- product's first line on it.
--
--   units_7d, _28d, _91d      within [moment - n days, moment)
--   receipts_28d              receipts with the product
--   customers_28d, _91d       different known customers who bought it
--   repeat_share              share of purchases so far, by known customers, of a product that the
--                             customer had bought before; null before the first known customer
--   avg_price_28d             revenue / units; null without units
--   price_ratio               average price of 7 days / of 91 days; null without units in 7 days
--   days_since_first, _last   days from the first and the last sale to the moment
--   trend                     (a - b) / (a + b) of the units of the last 28 days (a) and of the 28
--                             days before them (b), in -1..1; 0 when there are none
--
-- How: every purchase adds to the first moment after it and takes itself off at the first moment
-- after its window; running sums over the moments give every column. In customers_* a purchase
-- takes itself off as soon as the same customer buys the product again. Purchases of a week that
-- come and go at the same moments (those before and those after the time of the week at which the
-- lake ends) are added up first.
WITH line AS (
    SELECT customer_id, product_id, store, receipt_id, event_time, quantity, amount
    FROM silver_sale
    WHERE line_type = 'sale'
),
bounds AS (
    SELECT
        MIN(event_time) AS first_time, MAX(event_time) + INTERVAL '1' SECOND AS end_time
    FROM line
),
digit AS (
    SELECT n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS digits (n)
),
monday AS (
    SELECT
        DATE_TRUNC('week', bounds.first_time)
        + (a.n + 10 * b.n + 100 * c.n + 1) * INTERVAL '7' DAY AS moment
    FROM bounds
    CROSS JOIN digit AS a
    CROSS JOIN digit AS b
    CROSS JOIN digit AS c
),
moments AS (
    SELECT monday.moment FROM monday CROSS JOIN bounds WHERE monday.moment < bounds.end_time
    UNION
    SELECT end_time FROM bounds WHERE end_time IS NOT NULL
),
bought AS (
    SELECT
        product_id, store, receipt_id, MIN(event_time) AS sold,
        MAX(customer_id) AS customer_id, SUM(quantity) AS units, SUM(amount) AS revenue
    FROM line
    GROUP BY product_id, store, receipt_id
),
pair AS (
    SELECT
        product_id, sold, LEAD(sold) OVER same_customer AS next_sold,
        ROW_NUMBER() OVER same_customer AS occasion
    FROM bought
    WHERE customer_id IS NOT NULL
    WINDOW same_customer AS (
        PARTITION BY product_id, customer_id ORDER BY sold, store, receipt_id
    )
),
bunch AS (
    SELECT
        bought.product_id, MIN(bought.sold) AS first_sold, MAX(bought.sold) AS sold,
        SUM(bought.units) AS units, SUM(bought.revenue) AS revenue, COUNT(*) AS receipts
    FROM bought
    CROSS JOIN bounds
    GROUP BY
        bought.product_id,
        DATE_TRUNC('week', bought.sold),
        bought.sold - DATE_TRUNC('week', bought.sold)
        < bounds.end_time - DATE_TRUNC('week', bounds.end_time)
),
change AS (
    SELECT
        product_id, sold AS changed, first_sold, sold AS last_sold,
        units AS units_7d, revenue AS revenue_7d, units AS units_28d, revenue AS revenue_28d,
        receipts AS receipts_28d, units AS units_91d, revenue AS revenue_91d, 0 AS units_before,
        0 AS pairs, 0 AS customers, 0 AS customers_28d, 0 AS customers_91d
    FROM bunch
    UNION ALL
    SELECT
        product_id, sold + INTERVAL '7' DAY, NULL, NULL,
        -units, -revenue, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM bunch
    UNION ALL
    SELECT
        product_id, sold + INTERVAL '28' DAY, NULL, NULL,
        0, 0, -units, -revenue, -receipts, 0, 0, units, 0, 0, 0, 0
    FROM bunch
    UNION ALL
    SELECT
        product_id, sold + INTERVAL '56' DAY, NULL, NULL,
        0, 0, 0, 0, 0, 0, 0, -units, 0, 0, 0, 0
    FROM bunch
    UNION ALL
    SELECT
        product_id, sold + INTERVAL '91' DAY, NULL, NULL,
        0, 0, 0, 0, 0, -units, -revenue, 0, 0, 0, 0, 0
    FROM bunch
    UNION ALL
    SELECT
        product_id, sold, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        CASE WHEN occasion = 1 THEN 1 ELSE 0 END, 1, 1
    FROM pair
    UNION ALL
    SELECT
        product_id, LEAST(COALESCE(next_sold, sold + INTERVAL '28' DAY), sold + INTERVAL '28' DAY),
        NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 0
    FROM pair
    UNION ALL
    SELECT
        product_id, LEAST(COALESCE(next_sold, sold + INTERVAL '91' DAY), sold + INTERVAL '91' DAY),
        NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1
    FROM pair
),
step AS (
    SELECT
        change.product_id,
        LEAST(
            DATE_TRUNC('week', change.changed) + INTERVAL '7' DAY, bounds.end_time
        ) AS moment,
        MIN(change.first_sold) AS first_sold, MAX(change.last_sold) AS last_sold,
        SUM(change.units_7d) AS units_7d, SUM(change.revenue_7d) AS revenue_7d,
        SUM(change.units_28d) AS units_28d, SUM(change.revenue_28d) AS revenue_28d,
        SUM(change.receipts_28d) AS receipts_28d,
        SUM(change.units_91d) AS units_91d, SUM(change.revenue_91d) AS revenue_91d,
        SUM(change.units_before) AS units_before,
        SUM(change.pairs) AS pairs, SUM(change.customers) AS customers,
        SUM(change.customers_28d) AS customers_28d, SUM(change.customers_91d) AS customers_91d
    FROM change
    CROSS JOIN bounds
    WHERE change.changed < bounds.end_time
    GROUP BY 1, 2
),
grid AS (
    SELECT born.product_id, moments.moment
    FROM (SELECT product_id, MIN(moment) AS moment FROM step GROUP BY product_id) AS born
    JOIN moments ON moments.moment >= born.moment
),
total AS (
    SELECT
        grid.product_id,
        grid.moment,
        MIN(step.first_sold) OVER so_far AS first_sold,
        MAX(step.last_sold) OVER so_far AS last_sold,
        CAST(SUM(step.units_7d) OVER so_far AS DOUBLE) AS units_7d,
        CAST(SUM(step.revenue_7d) OVER so_far AS DOUBLE) AS revenue_7d,
        CAST(SUM(step.units_28d) OVER so_far AS DOUBLE) AS units_28d,
        CAST(SUM(step.revenue_28d) OVER so_far AS DOUBLE) AS revenue_28d,
        SUM(step.receipts_28d) OVER so_far AS receipts_28d,
        CAST(SUM(step.units_91d) OVER so_far AS DOUBLE) AS units_91d,
        CAST(SUM(step.revenue_91d) OVER so_far AS DOUBLE) AS revenue_91d,
        CAST(SUM(step.units_before) OVER so_far AS DOUBLE) AS units_before,
        CAST(SUM(step.pairs) OVER so_far AS DOUBLE) AS pairs,
        CAST(SUM(step.customers) OVER so_far AS DOUBLE) AS customers,
        SUM(step.customers_28d) OVER so_far AS customers_28d,
        SUM(step.customers_91d) OVER so_far AS customers_91d
    FROM grid
    LEFT JOIN step ON step.product_id = grid.product_id AND step.moment = grid.moment
    WINDOW so_far AS (
        PARTITION BY grid.product_id ORDER BY grid.moment
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT
    product_id,
    moment AS event_timestamp,
    units_7d,
    units_28d,
    units_91d,
    CAST(receipts_28d AS BIGINT) AS receipts_28d,
    CAST(customers_28d AS BIGINT) AS customers_28d,
    CAST(customers_91d AS BIGINT) AS customers_91d,
    (pairs - customers) / NULLIF(pairs, 0) AS repeat_share,
    revenue_28d / NULLIF(units_28d, 0) AS avg_price_28d,
    (revenue_7d / NULLIF(units_7d, 0)) / NULLIF(revenue_91d / NULLIF(units_91d, 0), 0)
        AS price_ratio,
    CAST(DATE_DIFF('second', first_sold, moment) AS DOUBLE) / 86400 AS days_since_first,
    CAST(DATE_DIFF('second', last_sold, moment) AS DOUBLE) / 86400 AS days_since_last,
    COALESCE((units_28d - units_before) / NULLIF(units_28d + units_before, 0), 0) AS trend
FROM total
