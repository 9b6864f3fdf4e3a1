-- table: gold.customer_snapshot
-- reads: silver.sale
-- summary: What was known of each customer at each Monday 00:00 UTC, from sales before it alone.
--
-- A row per customer and moment, from the first moment after the customer's first purchase on.
-- Moments are the Mondays and, as the last one, the second after the newest sale in the lake. A row
-- uses lines with event_time < event_timestamp only, so it may be joined to anything that happens
-- at or after it. A receipt counts at the time of its first line.
--
--   receipts, lines, revenue     of lines of type `sale`, so far
--   distinct_products            different products bought so far
--   mean_basket_value, _lines    revenue and lines per receipt
--   days_since_last, _first      days from the last and from the first receipt to the moment
--   mean_gap_days                days between receipts; null before the second
--   return_share                 lines of type `return` in all lines
--   repeat_share                 share of (receipt, product) pairs whose product was bought before
--   *_28d                        the same within [moment - 28 days, moment)
--
-- How: every purchase adds to the first moment after it and, for a window of 28 days, takes itself
-- off at the first moment after its 28 days; running sums over the moments give every column. In
-- distinct_28d a purchase takes itself off as soon as the same product is bought again.
WITH line AS (
    SELECT customer_id, product_id, store, receipt_id, event_time, amount, line_type
    FROM silver_sale
    WHERE line_type IN ('sale', 'return')
),
bounds AS (
    SELECT
        MIN(event_time) AS first_time, MAX(event_time) + INTERVAL '1' SECOND AS end_time
    FROM line
    WHERE line_type = 'sale'
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
receipt AS (
    SELECT
        customer_id, store, receipt_id, MIN(event_time) AS receipt_time, COUNT(*) AS lines,
        SUM(amount) AS revenue
    FROM line
    WHERE line_type = 'sale' AND customer_id IS NOT NULL
    GROUP BY customer_id, store, receipt_id
),
pair AS (
    SELECT
        customer_id, receipt_time,
        LEAD(receipt_time) OVER same_product AS next_time,
        ROW_NUMBER() OVER same_product AS occasion
    FROM (
        SELECT
            line.customer_id, line.product_id, line.store, line.receipt_id, receipt.receipt_time
        FROM line
        JOIN receipt
            ON receipt.customer_id = line.customer_id AND receipt.store = line.store
            AND receipt.receipt_id = line.receipt_id
        WHERE line.line_type = 'sale'
        GROUP BY
            line.customer_id, line.product_id, line.store, line.receipt_id, receipt.receipt_time
    ) AS bought
    WINDOW same_product AS (
        PARTITION BY customer_id, product_id ORDER BY receipt_time, store, receipt_id
    )
),
change AS (
    SELECT
        customer_id, receipt_time AS changed, receipt_time AS seen,
        1 AS receipts, lines, revenue, 0 AS returns, 0 AS pairs, 0 AS products,
        1 AS receipts_28d, revenue AS revenue_28d, 0 AS distinct_28d
    FROM receipt
    UNION ALL
    SELECT
        customer_id, receipt_time + INTERVAL '28' DAY, NULL, 0, 0, 0, 0, 0, 0, -1, -revenue, 0
    FROM receipt
    UNION ALL
    SELECT
        customer_id, receipt_time, NULL, 0, 0, 0, 0, 1,
        CASE WHEN occasion = 1 THEN 1 ELSE 0 END, 0, 0, 1
    FROM pair
    UNION ALL
    SELECT
        customer_id, LEAST(COALESCE(next_time, receipt_time + INTERVAL '28' DAY),
            receipt_time + INTERVAL '28' DAY), NULL, 0, 0, 0, 0, 0, 0, 0, 0, -1
    FROM pair
    UNION ALL
    SELECT customer_id, event_time, NULL, 0, 0, 0, 1, 0, 0, 0, 0, 0
    FROM line
    WHERE line_type = 'return' AND customer_id IS NOT NULL
),
step AS (
    SELECT
        change.customer_id,
        LEAST(
            DATE_TRUNC('week', change.changed) + INTERVAL '7' DAY, bounds.end_time
        ) AS moment,
        MIN(change.seen) AS first_seen, MAX(change.seen) AS last_seen,
        SUM(change.receipts) AS receipts, SUM(change.lines) AS lines,
        SUM(change.revenue) AS revenue, SUM(change.returns) AS returns,
        SUM(change.pairs) AS pairs, SUM(change.products) AS products,
        SUM(change.receipts_28d) AS receipts_28d, SUM(change.revenue_28d) AS revenue_28d,
        SUM(change.distinct_28d) AS distinct_28d
    FROM change
    CROSS JOIN bounds
    WHERE change.changed < bounds.end_time
    GROUP BY 1, 2
),
grid AS (
    SELECT born.customer_id, moments.moment
    FROM (SELECT customer_id, MIN(moment) AS moment FROM step GROUP BY customer_id) AS born
    JOIN moments ON moments.moment >= born.moment
),
total AS (
    SELECT
        grid.customer_id,
        grid.moment,
        MIN(step.first_seen) OVER so_far AS first_seen,
        MAX(step.last_seen) OVER so_far AS last_seen,
        SUM(step.receipts) OVER so_far AS receipts,
        SUM(step.lines) OVER so_far AS lines,
        SUM(step.revenue) OVER so_far AS revenue,
        SUM(step.returns) OVER so_far AS returns,
        SUM(step.pairs) OVER so_far AS pairs,
        SUM(step.products) OVER so_far AS products,
        SUM(step.receipts_28d) OVER so_far AS receipts_28d,
        SUM(step.revenue_28d) OVER so_far AS revenue_28d,
        SUM(step.distinct_28d) OVER so_far AS distinct_28d
    FROM grid
    LEFT JOIN step ON step.customer_id = grid.customer_id AND step.moment = grid.moment
    WINDOW so_far AS (
        PARTITION BY grid.customer_id ORDER BY grid.moment
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
)
SELECT
    customer_id,
    moment AS event_timestamp,
    CAST(receipts AS BIGINT) AS receipts,
    CAST(lines AS BIGINT) AS lines,
    CAST(products AS BIGINT) AS distinct_products,
    CAST(revenue AS DOUBLE) AS revenue,
    CAST(revenue AS DOUBLE) / CAST(receipts AS DOUBLE) AS mean_basket_value,
    CAST(lines AS DOUBLE) / CAST(receipts AS DOUBLE) AS mean_basket_lines,
    CAST(DATE_DIFF('second', last_seen, moment) AS DOUBLE) / 86400 AS days_since_last,
    CAST(DATE_DIFF('second', first_seen, moment) AS DOUBLE) / 86400 AS days_since_first,
    CAST(DATE_DIFF('second', first_seen, last_seen) AS DOUBLE) / 86400
    / NULLIF(CAST(receipts - 1 AS DOUBLE), 0) AS mean_gap_days,
    CAST(returns AS DOUBLE) / CAST(lines + returns AS DOUBLE) AS return_share,
    CAST(pairs - products AS DOUBLE) / CAST(pairs AS DOUBLE) AS repeat_share,
    CAST(receipts_28d AS BIGINT) AS receipts_28d,
    CAST(revenue_28d AS DOUBLE) AS revenue_28d,
    CAST(distinct_28d AS BIGINT) AS distinct_28d
FROM total
WHERE receipts > 0
