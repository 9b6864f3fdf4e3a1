"""The queries of a base snapshot, in DuckDB's SQL. Times leave as seconds since the epoch."""

from __future__ import annotations

#: Typed stand-ins for gold tables before the first gold run.
EMPTY = {
    "gold.product": """
        CREATE TABLE gold_product (product_id VARCHAR, name VARCHAR, category VARCHAR)""",
    "gold.price_history": """
        CREATE TABLE gold_price_history
        (product_id VARCHAR, valid_from TIMESTAMP, price DOUBLE, kind VARCHAR)""",
}

_LINE = """
CREATE TABLE line AS
SELECT epoch(event_time) AS t, store, receipt_id, product_id, description,
    CAST(quantity AS DOUBLE) AS quantity, CAST(unit_price AS DOUBLE) AS unit_price,
    amount AS exact_amount, CAST(amount AS DOUBLE) AS amount, currency, customer_id, country,
    line_type
FROM silver_sale"""

_PRODUCT = """
CREATE TABLE product AS
SELECT product_id, md5_number_lower(product_id) AS key,
    row_number() OVER (ORDER BY product_id) - 1 AS at
FROM (
    SELECT product_id FROM line WHERE line_type IN ('sale', 'return')
    UNION SELECT product_id FROM silver_product
    UNION SELECT product_id FROM silver_stock
    UNION SELECT product_id FROM silver_price
    UNION SELECT product_id FROM silver_activity
        WHERE product_id IS NOT NULL AND customer_id IS NOT NULL
        AND action IN ('view', 'click', 'basket_add', 'basket_remove')
)"""

_CUSTOMER = """
CREATE TABLE customer AS
SELECT customer_id, md5_number_lower(customer_id) AS key,
    row_number() OVER (ORDER BY customer_id) - 1 AS at
FROM (
    SELECT customer_id FROM line WHERE customer_id IS NOT NULL
    UNION SELECT customer_id FROM silver_customer
    UNION SELECT customer_id FROM silver_activity
        WHERE product_id IS NOT NULL AND customer_id IS NOT NULL
        AND action IN ('view', 'click', 'basket_add', 'basket_remove')
)"""

_RECEIPT = """
CREATE TABLE receipt AS
SELECT store, receipt_id, md5_number_lower(concat(store, chr(31), receipt_id)) AS key
FROM (
    SELECT DISTINCT store, receipt_id FROM line
    WHERE line_type = 'sale' AND customer_id IS NOT NULL
)"""

#: Lines of type sale with a customer: what purchases are made of.
_BOUGHT = """
CREATE TABLE bought AS
SELECT customer.at AS customer, product.at AS product, line.store, line.receipt_id,
    sum(line.quantity) AS quantity, min(line.t) AS first, max(line.t) AS last,
    sum(line.exact_amount) AS revenue
FROM line
JOIN customer USING (customer_id)
JOIN product USING (product_id)
WHERE line.line_type = 'sale'
GROUP BY ALL"""

PREPARE = (_LINE, _PRODUCT, _CUSTOMER, _RECEIPT, _BOUGHT)

_MASTER = ("name", "category", "brand", "gtin", "unit_cost", "currency", "image_url", "excluded")
_ORDER = "event_time, _offset, event_id"


def _last(column: str, also: str = "") -> str:
    return f"last({also or column} ORDER BY {_ORDER}) FILTER ({column} IS NOT NULL)"


_MASTER_COLUMNS = ", ".join(f"{_last(name)} AS {name}" for name in _MASTER)

PRODUCTS = f"""
WITH master AS (
    SELECT product_id, {_MASTER_COLUMNS}, {_last("unit_cost", "source")} AS cost_source
    FROM silver_product GROUP BY product_id
),
named AS (
    SELECT product_id, first(description ORDER BY lines DESC, description) AS name
    FROM (
        SELECT product_id, description, count(*) AS lines FROM line
        WHERE description IS NOT NULL AND line_type IN ('sale', 'return')
        GROUP BY ALL
    ) GROUP BY product_id
),
sold AS (
    SELECT product_id, max(t) AS last, max(currency) AS currency
    FROM line WHERE line_type = 'sale' GROUP BY product_id
),
usual AS (
    SELECT product_id, first(unit_price ORDER BY lines DESC, units DESC, unit_price) AS price
    FROM (
        SELECT line.product_id, unit_price, count(*) AS lines, sum(quantity) AS units
        FROM line JOIN sold USING (product_id)
        WHERE line_type = 'sale' AND line.t > sold.last - 28 * 86400
        GROUP BY ALL
    ) GROUP BY product_id
),
recent AS (
    SELECT product_id, count(*) AS receipts, sum(quantity) AS units FROM line
    WHERE line_type = 'sale' AND t > (SELECT max(last) FROM sold) - 28 * 86400
    GROUP BY product_id
),
announced AS (
    SELECT product_id, last(currency ORDER BY {_ORDER}) AS currency
    FROM silver_price GROUP BY product_id
),
stock AS (
    SELECT product_id, last(source ORDER BY {_ORDER}) AS source
    FROM silver_stock GROUP BY product_id
)
SELECT product.product_id, master.name, master.category, master.brand, master.gtin,
    CAST(master.unit_cost AS DOUBLE) AS unit_cost, master.cost_source, master.image_url,
    master.excluded,
    coalesce(announced.currency, master.currency, sold.currency) AS currency,
    usual.price AS usual, stock.source AS stock_source,
    coalesce(gold_product.name, named.name) AS derived_name,
    gold_product.category AS derived_category,
    coalesce(recent.receipts, 0) AS recent_receipts,
    coalesce(recent.units, 0.0) AS recent_units
FROM product
LEFT JOIN master USING (product_id)
LEFT JOIN named USING (product_id)
LEFT JOIN sold USING (product_id)
LEFT JOIN usual USING (product_id)
LEFT JOIN recent USING (product_id)
LEFT JOIN announced USING (product_id)
LEFT JOIN stock USING (product_id)
LEFT JOIN gold_product USING (product_id)
ORDER BY product.at"""

_STAMPS = ", ".join(
    f"{name} := max(epoch(event_time)) FILTER ({name} IS NOT NULL)" for name in _MASTER
)

#: Lists and maps per product: (product id, value).
PRODUCT_LISTS = {
    "stamps": f"SELECT product_id, struct_pack({_STAMPS}) FROM silver_product GROUP BY product_id",
    "stock": f"""
        WITH counted AS (
            SELECT product_id, store, max(epoch(event_time)) AS t,
                CAST(last(on_hand ORDER BY {_ORDER}) AS DOUBLE) AS on_hand
            FROM silver_stock GROUP BY product_id, store
        ),
        moved AS (
            SELECT counted.product_id, counted.store, sum(line.quantity) AS quantity
            FROM counted JOIN line ON line.product_id = counted.product_id
                AND line.store = counted.store AND line.t > counted.t
            WHERE line.line_type IN ('sale', 'return')
            GROUP BY ALL
        )
        SELECT product_id,
            list(row(store, on_hand, t, coalesce(quantity, 0.0)) ORDER BY store)
        FROM counted LEFT JOIN moved USING (product_id, store) GROUP BY product_id""",
    "observed": """
        SELECT product_id,
            list([epoch(valid_from), CAST(price AS DOUBLE)] ORDER BY valid_from)
        FROM gold_price_history WHERE kind = 'observed' GROUP BY product_id""",
}

ANNOUNCED = """
SELECT event_id, epoch(event_time) AS event_time, product_id, CAST(price AS DOUBLE) AS price,
    currency, price_type, epoch(valid_from) AS valid_from, epoch(valid_to) AS valid_to, reason,
    proposal_id, approved_by
FROM silver_price ORDER BY product_id, valid_from, event_time, event_id"""

CUSTOMERS = f"""
WITH total AS (
    SELECT customer, count(DISTINCT (store, receipt_id)) AS receipts, min(first) AS first,
        max(last) AS last, CAST(sum(revenue) AS DECIMAL(38, 4)) AS revenue
    FROM bought GROUP BY customer
),
lived AS (
    SELECT customer_id, last(country ORDER BY t, country DESC) AS country, max(t) AS t
    FROM line WHERE country IS NOT NULL AND customer_id IS NOT NULL GROUP BY customer_id
),
noted AS (
    SELECT customer_id,
        {_last("country")} AS country, {_last("segment")} AS segment,
        {_last("consent")} AS consent,
        max(epoch(event_time)) FILTER (country IS NOT NULL) AS country_time,
        max(epoch(event_time)) FILTER (segment IS NOT NULL) AS segment_time,
        max(epoch(event_time)) FILTER (consent IS NOT NULL) AS consent_time
    FROM silver_customer GROUP BY customer_id
)
SELECT customer.customer_id,
    coalesce(total.receipts, 0) AS receipts, coalesce(total.revenue, 0) AS revenue,
    coalesce(total.first, 0.0) AS first_time, coalesce(total.last, 0.0) AS last_time,
    lived.country AS line_country, coalesce(lived.t, 0.0) AS line_country_time,
    noted.country, coalesce(noted.country_time, 0.0) AS country_time,
    noted.segment, coalesce(noted.segment_time, 0.0) AS segment_time,
    noted.consent, coalesce(noted.consent_time, 0.0) AS consent_time
FROM customer
LEFT JOIN total ON total.customer = customer.at
LEFT JOIN lived USING (customer_id)
LEFT JOIN noted USING (customer_id)
ORDER BY customer.at"""

PURCHASES = """
SELECT customer, product, count(*) AS times, sum(quantity) AS quantity, min(first) AS first,
    max(last) AS last
FROM bought GROUP BY customer, product ORDER BY customer, product"""

#: The last {limit} lines of each customer, newest first; the order is total but for equal lines.
HISTORY = """
SELECT customer.at AS customer, product.at AS product, t AS time, receipt_id, quantity, unit_price,
    amount
FROM line JOIN customer USING (customer_id) JOIN product USING (product_id)
WHERE line_type IN ('sale', 'return')
WINDOW newest AS (
    PARTITION BY customer.at ORDER BY t DESC, receipt_id, line.product_id, quantity, unit_price
)
QUALIFY row_number() OVER newest <= {limit}
ORDER BY customer.at, t DESC, receipt_id, line.product_id, quantity, unit_price"""

VIEWS = """
SELECT customer_id, product.at, epoch(event_time) AS t
FROM silver_activity JOIN product USING (product_id)
WHERE action IN ('view', 'click') AND customer_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY event_time DESC, product_id DESC) <= 50
ORDER BY customer_id, t, product_id"""

#: What went into and out of baskets since the customer's last sale.
ACTIONS = """
WITH last AS (SELECT customer, max(last) AS t FROM bought GROUP BY customer)
SELECT customer_id, epoch(event_time) AS t, action = 'basket_add' AS adds, product.at,
    CAST(quantity AS DOUBLE) AS quantity
FROM silver_activity
JOIN product USING (product_id)
JOIN customer USING (customer_id)
LEFT JOIN last ON last.customer = customer.at
WHERE action IN ('basket_add', 'basket_remove') AND epoch(event_time) > coalesce(last.t, 0)
QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY event_time DESC) <= 200
ORDER BY customer_id, t, product_id"""

SEEN = " UNION ALL ".join(
    f"SELECT md5_number_lower(event_id) AS key FROM silver_{family}"
    for family in ("activity", "customer", "price", "product", "sale", "stock")
)

LINE_KEYS = """
SELECT customer.key AS customer, receipt.key AS receipt, product.key AS product
FROM bought
JOIN customer ON customer.at = bought.customer
JOIN product ON product.at = bought.product
JOIN receipt ON receipt.store = bought.store AND receipt.receipt_id = bought.receipt_id"""

NEWEST_SALE = "SELECT max(t) FROM line WHERE line_type = 'sale'"
