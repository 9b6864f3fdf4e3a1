"""Who goes with whom: related products and customers from sales. Training only."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from retaild_plugins.trainers.recommender.sales import Sales
from retaild_plugins.trainers.recommender.statistics import Related, no_relations


def incidence(rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Any:
    """Sparse 0/1 matrix."""
    found = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    found.data[:] = 1.0
    return found


def cosine(matrix: Any, count: int, threads: int) -> Related:
    """Each column's `count` nearest columns by cosine, rows damped by 1/sqrt(their length).

    The damping keeps a wholesaler's receipt of 500 lines from relating everything to everything.
    """
    from implicit.nearest_neighbours import all_pairs_knn

    lengths = np.diff(matrix.indptr)
    damped = sp.diags(1.0 / np.sqrt(np.maximum(lengths, 1))) @ matrix
    norms = np.sqrt(np.asarray(damped.multiply(damped).sum(axis=0)).ravel())
    unit = (damped @ sp.diags(1.0 / np.maximum(norms, 1e-12))).tocsr()
    near = all_pairs_knn(unit, count + 1, num_threads=threads, show_progress=False).tocsr()
    near.setdiag(0.0)
    near.eliminate_zeros()
    return strongest(near, count)


def latent(matrix: Any, popularity: NDArray[Any], ridge: float, limit: int, count: int) -> Related:
    """EASE: B = I - P / diag(P), P = inverse of (X'X + ridge I); Steck 2019, eq. 8.

    A closed-form linear autoencoder; only the `limit` best sellers take part, for the inverse
    costs the cube of their number. A product's row holds the pull it gives to others.
    """
    size = matrix.shape[1]
    chosen = np.sort(np.argsort(-popularity, kind="stable")[: min(limit, size)])
    if not len(chosen):
        return no_relations(size)
    part = matrix[:, chosen].astype(np.float32)
    gram = np.asfortranarray((part.T @ part).toarray())
    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    factor, _ = scipy.linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = scipy.linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    np.negative(inverse, out=inverse)
    pull = np.tril(inverse, -1)
    pull += pull.T
    pull /= -np.diagonal(inverse)
    found = _strongest_dense(pull, min(count, len(chosen) - 1))
    index = np.zeros((size, found.index.shape[1]), np.int32)
    weight = np.zeros_like(index, dtype=np.float32)
    index[chosen], weight[chosen] = chosen[found.index], found.weight
    return Related(index, weight)


def following(sales: Sales, count: int) -> Related:
    """P(b on the next receipt | a on this one) / sqrt(popularity of b), of the same customer."""
    size = len(sales.product_ids)
    known = sales.customer >= 0
    if not known.any():
        return no_relations(size)
    customer, receipt, time = (x[known] for x in (sales.customer, sales.receipt, sales.time))
    _, first = np.unique(receipt, return_index=True)
    order = first[np.lexsort((time[first], customer[first]))]
    receipts, owner = receipt[order], customer[order]
    place = np.full(int(sales.receipt.max()) + 1, -1, np.int64)
    place[receipts] = np.arange(len(receipts))
    on = incidence(place[receipt], sales.product[known], (len(receipts), size))
    pairs = np.flatnonzero(owner[1:] == owner[:-1])
    if not len(pairs):
        return no_relations(size)
    before, after = on[pairs], on[pairs + 1]
    damp = sp.diags(1.0 / np.maximum(1, np.diff(before.indptr)) ** 0.5)
    moves = ((damp @ before).T @ (damp @ after)).tocsr()
    moves.setdiag(0.0)
    seen = np.asarray(after.sum(axis=0)).ravel()
    start = np.asarray(before.sum(axis=0)).ravel()
    scaled = sp.diags(1.0 / (start + 5.0)) @ moves @ sp.diags(1.0 / np.sqrt(seen + 5.0))
    return strongest(scaled.tocsr(), count)


def strongest(matrix: Any, count: int) -> Related:
    """The `count` largest entries of each row of a sparse matrix with entries >= 0.

    Row, weight and column are packed into one integer each, so that a single sort of plain numbers
    does it (ten times faster than sorting by three keys); weights keep 20 bits or more.
    """
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    column_bits = max(1, int(matrix.shape[1] - 1).bit_length())
    weight_bits = 63 - column_bits - max(1, int(matrix.shape[0] - 1).bit_length())
    largest = float(matrix.data.max(initial=0.0)) or 1.0
    steps = float(2 ** min(weight_bits, 40) - 1)
    lacking = (steps * (1.0 - matrix.data / largest)).astype(np.int64)
    packed = (rows << (weight_bits + column_bits)) | (lacking << column_bits) | matrix.indices
    packed.sort()
    rank = np.arange(len(packed)) - matrix.indptr[rows]
    packed, rows, rank = (x[rank < count] for x in (packed, rows, rank))
    width = int(rank.max(initial=0)) + 1
    index = np.zeros((matrix.shape[0], width), np.int32)
    weight = np.zeros((matrix.shape[0], width), np.float32)
    index[rows, rank] = packed & ((1 << column_bits) - 1)
    lacking = (packed >> column_bits) & ((1 << weight_bits) - 1)
    weight[rows, rank] = largest * (1.0 - lacking / steps)
    return Related(index, weight)


def _strongest_dense(matrix: NDArray[Any], count: int) -> Related:
    if count < 1:
        return no_relations(len(matrix))
    index = np.argpartition(-matrix, count - 1, axis=1)[:, :count]
    weight = np.take_along_axis(matrix, index, 1)
    return Related(index.astype(np.int32), np.maximum(weight, 0).astype(np.float32))
