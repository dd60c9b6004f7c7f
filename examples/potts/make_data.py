#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes families.npz beside itself: alignments of made families of proteins, for potts.amo. Needs numpy.

A family is a Potts model of 20 sites with 4 states and a query, a random sequence. Most of the model follows from the
query by one fixed map, as couplings of proteins follow from their letters; the rest is the family's own, so that no
network can read it off one sequence. Its alignment are samples of the model, by Gibbs sampling.

    query [N, L]     msa [N, 1000, L]     held [N, 200, L]     states 0 to 3, one byte each

Usage: make_data.py [FAMILIES]    else 2000, in about two minutes
"""
import os
import sys

import numpy as np

L, Q, DEPTH, HELD, SWEEPS = 20, 4, 1000, 200, 25


def rule(rng):
    """The fixed map from a pair of letters and their distance to a coupling, and from a letter to a field."""
    coupling = rng.normal(0, 1, (Q, Q, Q, Q))          # letters of both sites, states of both sites
    field = rng.normal(0, 0.3, (Q, Q)) + 0.7 * np.eye(Q)
    return coupling, field


def family(rng, coupling, field):
    query = rng.integers(0, Q, L)
    i, j = np.indices((L, L))
    near = np.where(i == j, 0, np.exp(-np.abs(i - j) / 3.0))           # contacts are local
    J = 0.6 * near[:, :, None, None] * coupling[query[:, None], query[None, :]]
    J += rng.normal(0, 0.2, J.shape) * (i != j)[:, :, None, None]     # the family's own part
    J = (J + J.transpose(1, 0, 3, 2)) / 2
    h = field[query] + rng.normal(0, 0.1, (L, Q))
    return query, h, J


def gibbs(rng, h, J, count):
    """`count` independent chains after SWEEPS sweeps."""
    table = J.transpose(1, 3, 0, 2).reshape(L * Q, L, Q)               # [site and state of the other, site, state]
    table = np.ascontiguousarray(table.transpose(1, 0, 2))
    state = np.eye(Q)[rng.integers(0, Q, (count, L))].reshape(count, L * Q)
    for _ in range(SWEEPS):
        for i in range(L):
            weights = np.exp(h[i] + state @ table[i])
            below = np.cumsum(weights, 1)
            x = (rng.random((count, 1)) * below[:, -1:] > below).sum(1)
            state[:, i * Q:(i + 1) * Q] = np.eye(Q)[x]
    return state.reshape(count, L, Q).argmax(2).astype(np.uint8)


def main():
    given = sys.argv[1:] or ["2000"]
    if len(given) > 1 or not given[0].isdigit() or int(given[0]) < 3:
        sys.exit("make_data.py: how many families, a whole number from 3 on")
    count = int(given[0])
    rng = np.random.default_rng(17)
    coupling, field = rule(rng)
    query, msa, held = [], [], []
    for k in range(count):
        s, h, J = family(rng, coupling, field)
        x = gibbs(rng, h, J, DEPTH + HELD)
        query.append(s.astype(np.uint8)), msa.append(x[:DEPTH]), held.append(x[DEPTH:])
        if sys.stderr.isatty():
            print("\rfamily %d of %d" % (k + 1, count), end="", file=sys.stderr)
    here = os.path.dirname(os.path.abspath(__file__))
    np.savez_compressed(os.path.join(here, "families.npz"), query=query, msa=msa, held=held)


main()
