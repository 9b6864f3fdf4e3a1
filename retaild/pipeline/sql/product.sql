-- table: gold.product
-- reads: silver.sale, silver.product, silver.stock, silver.price, gold.price_history
-- summary: Every product of the range: master data, current price, cost, stock and recent sales.
--
-- The range: products with a line of type `sale` or `return`, or with a product, stock or price
-- event. Master data is the newest that a product event states. Where none does:
--   name      the most common description of its lines (then the alphabetically first);
--   category  the last word of that name (a plural in S joins its singular where both occur),
--             OTHER where fewer than 15 products share it; category_derived is true.
-- price is the announced price in effect at the newest event of the lake, a promotion only until its
-- end (replays and a shop clock of its own need no other "now"); else the modal unit price of the
-- 28 days up to the product's own last sale (then more units, then the lower price).
-- cost_source and stock_source name the source that the cost and the count came through.
-- on_hand is the newest count of each store less what its tills moved since, over all stores.
-- units_28d and revenue_28d cover the 28 days up to the newest sale in the lake.
WITH line AS (
    SELECT
        product_id, store, event_time, description, unit_price, quantity, amount, currency,
        line_type
    FROM silver_sale
    WHERE line_type IN ('sale', 'return')
),
master AS (
    SELECT
        product_id,
        LAST_VALUE(name IGNORE NULLS) OVER newest AS name,
        LAST_VALUE(category IGNORE NULLS) OVER newest AS category,
        LAST_VALUE(brand IGNORE NULLS) OVER newest AS brand,
        LAST_VALUE(gtin IGNORE NULLS) OVER newest AS gtin,
        LAST_VALUE(currency IGNORE NULLS) OVER newest AS currency,
        LAST_VALUE(unit_cost IGNORE NULLS) OVER newest AS unit_cost,
        LAST_VALUE(
            CASE WHEN unit_cost IS NOT NULL THEN source END IGNORE NULLS
        ) OVER newest AS cost_source,
        LAST_VALUE(image_url IGNORE NULLS) OVER newest AS image_url,
        LAST_VALUE(excluded IGNORE NULLS) OVER newest AS excluded,
        ROW_NUMBER() OVER (
            PARTITION BY product_id ORDER BY event_time DESC, _offset DESC, event_id DESC
        ) AS place
    FROM silver_product
    WINDOW newest AS (
        PARTITION BY product_id ORDER BY event_time, _offset, event_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    )
),
described AS (
    SELECT
        product_id, description,
        ROW_NUMBER() OVER (PARTITION BY product_id ORDER BY lines DESC, description) AS place
    FROM (
        SELECT product_id, description, COUNT(*) AS lines
        FROM line
        WHERE description IS NOT NULL
        GROUP BY product_id, description
    ) AS descriptions
),
range_ AS (
    SELECT product_id FROM line
    UNION
    SELECT product_id FROM silver_product
    UNION
    SELECT product_id FROM silver_stock
    UNION
    SELECT product_id FROM silver_price
),
named AS (
    SELECT
        range_.product_id,
        COALESCE(master.name, described.description) AS name,
        REGEXP_EXTRACT(
            UPPER(COALESCE(master.name, described.description)), '([A-Z]+)[^A-Z]*$', 1
        ) AS noun
    FROM range_
    LEFT JOIN master ON master.product_id = range_.product_id AND master.place = 1
    LEFT JOIN described ON described.product_id = range_.product_id AND described.place = 1
),
nouns AS (
    SELECT noun, COUNT(*) AS products FROM named WHERE LENGTH(noun) >= 2 GROUP BY noun
),
singular AS (
    SELECT plural.noun, COALESCE(single.noun, plural.noun) AS category
    FROM nouns AS plural
    LEFT JOIN nouns AS single ON CONCAT(single.noun, 'S') = plural.noun
),
derived AS (
    SELECT
        named.product_id,
        CASE
            WHEN COUNT(singular.category) OVER (PARTITION BY singular.category) >= 15
                THEN singular.category
            ELSE 'OTHER'
        END AS category
    FROM named
    LEFT JOIN singular ON singular.noun = named.noun
),
sold AS (
    SELECT
        product_id, MIN(event_time) AS first_sale, MAX(event_time) AS last_sale,
        MAX(currency) AS currency
    FROM line
    WHERE line_type = 'sale'
    GROUP BY product_id
),
newest AS (
    SELECT MAX(event_time) AS event_time FROM line WHERE line_type = 'sale'
),
recent AS (
    SELECT line.product_id, SUM(line.quantity) AS units, SUM(line.amount) AS revenue
    FROM line
    CROSS JOIN newest
    WHERE line.line_type = 'sale' AND line.event_time > newest.event_time - INTERVAL '28' DAY
    GROUP BY line.product_id
),
usual AS (
    SELECT
        product_id, unit_price, first_time,
        ROW_NUMBER() OVER (
            PARTITION BY product_id ORDER BY lines DESC, units DESC, unit_price
        ) AS place
    FROM (
        SELECT
            line.product_id, line.unit_price, COUNT(*) AS lines, SUM(line.quantity) AS units,
            MIN(line.event_time) AS first_time
        FROM line
        JOIN sold ON sold.product_id = line.product_id
        WHERE line.line_type = 'sale' AND line.event_time > sold.last_sale - INTERVAL '28' DAY
        GROUP BY line.product_id, line.unit_price
    ) AS prices
),
seen AS (
    SELECT product_id, price, MAX(valid_from) AS since
    FROM gold_price_history
    WHERE kind = 'observed'
    GROUP BY product_id, price
),
today AS (
    SELECT MAX(moment) AS moment
    FROM (
        SELECT MAX(event_time) AS moment FROM line
        UNION ALL
        SELECT MAX(event_time) FROM silver_price
        UNION ALL
        SELECT MAX(event_time) FROM silver_stock
    ) AS newest_events
),
announced AS (
    SELECT
        product_id, price, currency, valid_from,
        ROW_NUMBER() OVER (
            PARTITION BY product_id
            ORDER BY valid_from DESC, event_time DESC, _offset DESC, event_id DESC
        ) AS place
    FROM silver_price
    CROSS JOIN today
    WHERE valid_from <= today.moment AND (valid_to IS NULL OR valid_to > today.moment)
),
counted AS (
    SELECT
        product_id, store, on_hand, event_time, source,
        ROW_NUMBER() OVER (
            PARTITION BY product_id, store ORDER BY event_time DESC, _offset DESC, event_id DESC
        ) AS place
    FROM silver_stock
),
moved AS (
    SELECT counted.product_id, counted.store, SUM(line.quantity) AS quantity
    FROM counted
    JOIN line
        ON line.product_id = counted.product_id AND line.store = counted.store
        AND line.event_time > counted.event_time
    WHERE counted.place = 1
    GROUP BY counted.product_id, counted.store
),
stock AS (
    SELECT
        counted.product_id, MAX(counted.source) AS stock_source,
        SUM(counted.on_hand) - SUM(COALESCE(moved.quantity, 0)) AS on_hand
    FROM counted
    LEFT JOIN moved ON moved.product_id = counted.product_id AND moved.store = counted.store
    WHERE counted.place = 1
    GROUP BY counted.product_id
)
SELECT
    named.product_id,
    named.name,
    COALESCE(master.category, derived.category) AS category,
    master.category IS NULL AS category_derived,
    master.brand,
    master.gtin,
    COALESCE(announced.currency, master.currency, sold.currency) AS currency,
    COALESCE(announced.price, usual.unit_price) AS price,
    CASE
        WHEN announced.price IS NOT NULL THEN announced.valid_from
        ELSE COALESCE(seen.since, usual.first_time)
    END AS price_since,
    master.unit_cost,
    master.cost_source,
    CAST(stock.on_hand AS DOUBLE) AS on_hand,
    stock.stock_source,
    master.image_url,
    COALESCE(master.excluded, FALSE) AS excluded,
    sold.first_sale,
    sold.last_sale,
    CAST(COALESCE(recent.units, 0) AS DOUBLE) AS units_28d,
    CAST(COALESCE(recent.revenue, 0) AS DECIMAL(18, 4)) AS revenue_28d
FROM named
JOIN derived ON derived.product_id = named.product_id
LEFT JOIN master ON master.product_id = named.product_id AND master.place = 1
LEFT JOIN sold ON sold.product_id = named.product_id
LEFT JOIN recent ON recent.product_id = named.product_id
LEFT JOIN usual ON usual.product_id = named.product_id AND usual.place = 1
LEFT JOIN seen ON seen.product_id = named.product_id AND seen.price = usual.unit_price
LEFT JOIN announced ON announced.product_id = named.product_id AND announced.place = 1
LEFT JOIN stock ON stock.product_id = named.product_id
