#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes dc3_qp.npz and dc3_x.npy beside itself: the arrays of Donti, Rolnick, Kolter 2021 (DC3), seed 17.

They are drawn as numpy's RandomState(17) draws them, in the order of the released generator: q, p, A, X, G. The generator
is the Mersenne Twister; normals come in pairs by the polar method. Nothing but Python is needed.
"""
import io
import math
import os
import random
import struct
import zipfile

N, K, M, INSTANCES = 100, 50, 50, 10000


class RandomState:
    def __init__(self, seed):
        state = [seed]  # Matsumoto and Nishimura's init_genrand
        for i in range(1, 624):
            state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) & 0xFFFFFFFF)
        self.twister = random.Random()
        self.twister.setstate((3, tuple(state + [624]), None))
        self.second = None

    def uniform(self, count, low=0.0, high=1.0):
        return [low + (high - low) * self.twister.random() for _ in range(count)]

    def normal(self, count):
        return [self.gauss() for _ in range(count)]

    def gauss(self):
        if self.second is not None:
            value, self.second = self.second, None
            return value
        while True:
            x, y = 2.0 * self.twister.random() - 1.0, 2.0 * self.twister.random() - 1.0
            r = x * x + y * y
            if 0.0 < r < 1.0:
                break
        f = math.sqrt(-2.0 * math.log(r) / r)
        self.second = f * x
        return f * y


def rows(flat, columns):
    return [flat[i:i + columns] for i in range(0, len(flat), columns)]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def solve(matrix, right):
    """matrix X = right, by elimination with pivoting."""
    a = [row + extra for row, extra in zip(matrix, right)]
    n = len(a)
    for j in range(n):
        pivot = max(range(j, n), key=lambda i: abs(a[i][j]))
        a[j], a[pivot] = a[pivot], a[j]
        for i in range(n):
            if i != j:
                factor = a[i][j] / a[j][j]
                if factor:
                    a[i] = [x - factor * y for x, y in zip(a[i], a[j])]
    return [[x / a[i][i] for x in a[i][n:]] for i in range(n)]


def npy(flat, shape):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }" % "".join("%d, " % s for s in shape)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + struct.pack("<%dd" % len(flat), *flat)


def main():
    state = RandomState(17)
    q, p = state.uniform(N), state.uniform(N)
    A = rows(state.normal(K * N), N)
    x = state.uniform(INSTANCES * K, -1.0, 1.0)
    G = rows(state.normal(M * N), N)
    # h = sum |G A^+| over each row, so that y = A^+ x always keeps the inequalities; A^+ = A' (A A')^-1.
    gram = [[dot(a, b) for b in A] for a in A]
    cross = [[dot(a, g) for g in G] for a in A]
    product = solve(gram, cross)  # (A A')^-1 A G', the transpose of G A^+
    h = [math.fsum(abs(row[j]) for row in product) for j in range(M)]
    here = os.path.dirname(os.path.abspath(__file__))
    arrays = {"q": (q, [N]), "p": (p, [N]), "A": (sum(A, []), [K, N]), "G": (sum(G, []), [M, N]), "h": (h, [M])}
    with zipfile.ZipFile(os.path.join(here, "dc3_qp.npz"), "w") as archive:
        for name, (flat, shape) in arrays.items():
            archive.writestr(zipfile.ZipInfo(name + ".npy"), npy(flat, shape))
    with open(os.path.join(here, "dc3_x.npy"), "wb") as f:
        f.write(npy(x, [INSTANCES, K]))


main()
