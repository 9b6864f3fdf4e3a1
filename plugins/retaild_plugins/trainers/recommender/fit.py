"""Learns the Statistics from sales. Training only."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender import relations
from retaild_plugins.trainers.recommender.config import RecommenderConfig
from retaild_plugins.trainers.recommender.sales import Sales
from retaild_plugins.trainers.recommender.statistics import POPULARITY, Statistics, no_relations

DAY = 86_400.0
#: A country with fewer receipts in the last 91 days has no bestsellers of its own.
COUNTRY_RECEIPTS = 30
#: Prior strength, in observed gaps, of the shop's median gap over a product's own.
GAP_PRIOR = 10.0
#: Prior strength, in customers, of the shop's purchase rate over a product's own.
RATE_PRIOR = 20.0
#: Products kept per customer, customers kept per product, for finding similar customers.
SHELF, BUYERS = 64, 100


def fit(
    sales: Sales, until: float, config: RecommenderConfig, store: NDArray[np.float32], threads: int
) -> Statistics:
    """Statistics from the sales before `until` (seconds since the epoch), and no others.

    `store` holds STORE_COLUMNS as they were known at `until`.
    """
    sales = sales.slice(-np.inf, until)
    products, people = len(sales.product_ids), len(sales.customer_ids)
    known = sales.customer >= 0
    lines = relations.incidence(sales.receipt, sales.product, (_count(sales.receipt), products))
    bought = relations.incidence(
        sales.customer[known], sales.product[known], (max(people, 1), products)
    )
    several = lines[np.diff(lines.indptr) > 1]
    taste = _decayed(sales, until, config.half_life_days)
    gap, rest = _gaps(sales, config.rest_quantile)
    local, country = _local(sales, until)
    total = np.bincount(sales.product, minlength=products).astype(np.float64)
    table = np.hstack([_product_table(sales, until, gap, config.popularity_half_life_days), store])
    popularity = table[:, POPULARITY]
    count = config.neighbours
    return Statistics(
        until=until,
        product_ids=sales.product_ids,
        names=sales.names,
        customer_ids=sales.customer_ids,
        countries=sales.countries,
        country=country,
        product=table,
        appeal=np.float32(1.0) / max(1e-9, popularity.max(initial=0.0)) * popularity,
        rates=np.hstack([_rates(sales, until, days) for days in (28, 7)]),
        rest_days=rest,
        local=local,
        together=relations.cosine(several, count, threads),
        customers=relations.cosine(bought, count, threads),
        latent=relations.latent(bought, total, config.latent_ridge, config.latent_products, count),
        following=relations.following(sales, count),
        buyers=relations.strongest(taste.T.tocsr(), BUYERS) if people else no_relations(products),
        shelves=relations.strongest(taste, SHELF) if people else no_relations(1),
    )


def _count(codes: NDArray[np.int32]) -> int:
    return int(codes.max()) + 1 if len(codes) else 1


def _decayed(sales: Sales, until: float, half_life: float) -> Any:
    """Customers x products, each purchase worth 0.5 ** (age / half-life), rows of length 1."""
    known = sales.customer >= 0
    value = 0.5 ** ((until - sales.time[known]) / DAY / half_life)
    shape = (max(1, len(sales.customer_ids)), len(sales.product_ids))
    taste = sp.csr_matrix((value, (sales.customer[known], sales.product[known])), shape=shape)
    norms = np.sqrt(np.asarray(taste.multiply(taste).sum(axis=1)).ravel())
    return (sp.diags(1.0 / np.maximum(norms, 1e-12)) @ taste).tocsr()


def _recent(sales: Sales, until: float, days: float) -> NDArray[np.float64]:
    """Receipts per product in the last `days`."""
    rows = sales.slice(until - days * DAY, until)
    return np.bincount(rows.product, minlength=len(sales.product_ids)).astype(np.float64)


def _product_table(
    sales: Sales, until: float, gap: NDArray[np.float32], half_life: float
) -> NDArray[np.float32]:
    """The first of PRODUCT_COLUMNS, up to the feature store's."""
    size = len(sales.product_ids)
    weight = 0.5 ** ((until - sales.time) / DAY / half_life)
    columns = [
        np.log1p(np.bincount(sales.product, weight, size)),
        np.log1p(_recent(sales, until, 7)),
        np.log1p(_recent(sales, until, 91)),
        gap,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _rates(sales: Sales, until: float, days: float) -> NDArray[np.float32]:
    """Two of RATE_COLUMNS for the last `days`, shrunk to the shop's."""
    size, start = len(sales.product_ids), until - days * DAY
    before, since = _pairs(sales.slice(-np.inf, start)), _pairs(sales.slice(start, until))
    active = np.zeros(len(sales.customer_ids) + 1, np.bool_)
    active[since // size] = True
    before = before[active[before // size]]
    old = np.isin(since, before, assume_unique=True)
    knew = np.bincount(before % size, minlength=size)
    others = active.sum() - knew
    columns = []
    for bought, could in ((since[old], knew), (since[~old], others)):
        count = np.bincount(bought % size, minlength=size)
        usual = count.sum() / max(1, could.sum())
        columns.append((count + RATE_PRIOR * usual) / (could + RATE_PRIOR))
    return np.stack(columns, axis=1).astype(np.float32)


def _pairs(sales: Sales) -> NDArray[np.int64]:
    """Distinct customer x products + product, sorted."""
    known = sales.customer >= 0
    size = len(sales.product_ids)
    return np.unique(sales.customer[known].astype(np.int64) * size + sales.product[known])


def _gaps(sales: Sales, rest_quantile: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Days until the same customer buys a product again: the typical gap (mean of logs, shrunk to
    the shop's), and the rest (the shop's quantile, scaled by the product's gap)."""
    size = len(sales.product_ids)
    known = sales.customer >= 0
    customer, product, time = (x[known] for x in (sales.customer, sales.product, sales.time))
    order = np.lexsort((time, product, customer))
    customer, product, time = customer[order], product[order], time[order]
    again = (customer[1:] == customer[:-1]) & (product[1:] == product[:-1])
    days = (np.diff(time) / DAY)[again]
    of = product[1:][again]
    if not len(days):
        return np.full(size, 30.0, np.float32), np.zeros(size, np.float32)
    logs = np.log(np.maximum(days, 0.5))
    usual = float(logs.mean())
    total = np.bincount(of, logs, size) + GAP_PRIOR * usual
    gap = np.exp(total / (np.bincount(of, minlength=size) + GAP_PRIOR))
    rest = (np.quantile(days, rest_quantile) if rest_quantile else 0.0) * gap / np.exp(usual)
    return gap.astype(np.float32), rest.astype(np.float32)


def _local(sales: Sales, until: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Bestsellers per country (see Statistics.local), and each customer's country if it counts."""
    count, size = max(1, len(sales.countries)), len(sales.product_ids)
    rows = sales.slice(until - 91 * DAY, until)
    keep = rows.country >= 0
    weight = 0.5 ** ((until - rows.time[keep]) / DAY / 28.0)
    flat = rows.country[keep].astype(np.int64) * size + rows.product[keep]
    table = np.bincount(flat, weight, count * size).reshape(count, size)
    receipts = np.unique(np.stack([rows.country[keep], rows.receipt[keep]]), axis=1)[0]
    enough = np.bincount(receipts, minlength=count) >= COUNTRY_RECEIPTS
    table = table / np.maximum(table.max(axis=1, keepdims=True), 1e-9) * enough[:, None]
    home = np.full(len(sales.customer_ids), -1, np.int32)
    known = (sales.customer >= 0) & (sales.country >= 0)
    home[sales.customer[known]] = sales.country[known]  # oldest first: the newest one stays
    return table.astype(np.float32), np.where(enough[home] & (home >= 0), home, -1).astype(np.int32)
