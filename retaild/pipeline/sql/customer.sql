-- table: gold.customer
-- reads: silver.sale, silver.customer
-- summary: Every known customer: what the store noted of them and what they have bought so far.
--
-- Counts, revenue and times are of lines of type `sale`. country and segment are the newest that a
-- customer event states; country falls back to that of the customer's newest line.
WITH line AS (
    SELECT customer_id, store, receipt_id, event_time, amount, country, event_id, line_type
    FROM silver_sale
    WHERE customer_id IS NOT NULL
),
bought AS (
    SELECT
        customer_id, store, receipt_id, COUNT(*) AS lines, SUM(amount) AS revenue,
        MIN(event_time) AS first_sale, MAX(event_time) AS last_sale
    FROM line
    WHERE line_type = 'sale'
    GROUP BY customer_id, store, receipt_id
),
total AS (
    SELECT
        customer_id, COUNT(*) AS receipts, SUM(lines) AS lines, SUM(revenue) AS revenue,
        MIN(first_sale) AS first_sale, MAX(last_sale) AS last_sale
    FROM bought
    GROUP BY customer_id
),
lived AS (
    SELECT
        customer_id, country,
        ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY last_time DESC, country) AS place
    FROM (
        SELECT customer_id, country, MAX(event_time) AS last_time
        FROM line
        WHERE country IS NOT NULL
        GROUP BY customer_id, country
    ) AS places
),
noted AS (
    SELECT
        customer_id,
        LAST_VALUE(country IGNORE NULLS) OVER newest AS country,
        LAST_VALUE(segment IGNORE NULLS) OVER newest AS segment,
        LAST_VALUE(consent IGNORE NULLS) OVER newest AS consent,
        ROW_NUMBER() OVER (
            PARTITION BY customer_id ORDER BY event_time DESC, _offset DESC, event_id DESC
        ) AS place
    FROM silver_customer
    WINDOW newest AS (
        PARTITION BY customer_id ORDER BY event_time, _offset, event_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
),
known AS (
    SELECT customer_id FROM line
    UNION
    SELECT customer_id FROM silver_customer
)
SELECT
    known.customer_id,
    COALESCE(noted.country, lived.country) AS country,
    noted.segment,
    noted.consent,
    CAST(COALESCE(total.receipts, 0) AS BIGINT) AS receipts,
    CAST(COALESCE(total.lines, 0) AS BIGINT) AS lines,
    CAST(COALESCE(total.revenue, 0) AS DECIMAL(18, 4)) AS revenue,
    total.first_sale,
    total.last_sale
FROM known
LEFT JOIN total ON total.customer_id = known.customer_id
LEFT JOIN lived ON lived.customer_id = known.customer_id AND lived.place = 1
LEFT JOIN noted ON noted.customer_id = known.customer_id AND noted.place = 1
