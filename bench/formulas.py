# SPDX-License-Identifier: Apache-2.0
"""The benchmark's objectives as each peer's user would write them; programs/*.amo say the same.

WRITTEN  for one instance, in what JAX and torch share (`xp`); several ways where it is not clear which is faster
CASADI   for one instance with CasADi's symbols; "SX" is expanded to scalar operations, "MX" keeps vectors together
NUMPY    value and gradient of a batch with the gradient by hand, where an expert would
"""
SHARED = ("A", "S", "C")  # inputs that all instances share


def quad(xp, v):
    return 0.5 * (v.y @ v.A @ v.y) + v.x @ v.y


def lse(xp, v):
    return xp.logsumexp(v.x + v.y, 0)


def rosenbrock(xp, v):
    a = v.y[:-1]
    return (v.x * (v.y[1:] - a * a) ** 2 + (1 - a) ** 2).sum()


def trig(xp, v):
    return (xp.sin(v.y) * xp.cos(v.x + v.y)).sum()


def sphere(xp, v):
    d = 2 * xp.arctan2(xp.norm(v.y - v.z, 1), xp.norm(v.y + v.z, 1))
    return -0.5 * xp.logsumexp(-(d * d / 2 + v.alpha) / 0.5, 0)


def lasso(xp, v):
    r = v.A @ v.y - v.b
    return 0.5 * (r @ r) + 0.1 * xp.abs(v.y).sum()


def portfolio(xp, v):
    return 0.5 * (v.w @ v.S @ v.w) - v.mu @ v.w + 0.002 * xp.abs(v.w - v.w0).sum()


def transport(xp, v):
    return (0.01 * xp.logsumexp((v.f[:, None] - v.C) / 0.01, 0)) @ v.b - v.f @ v.a


def potts_by(fields):
    def value(xp, v):
        other = 1 - xp.eye(10, v.J)
        js = other[:, :, None, None] * (v.J + xp.permute(v.J, (1, 0, 3, 2))) / 2
        x = xp.one_hot(v.ms, 4, v.J)                                         # [64, 10, 4]
        t = v.h + fields(xp, xp.permute(js, (1, 3, 0, 2)), x, v.ms)          # [64, 10, 4]
        nll = (xp.logsumexp(t, 2) - (t * x).sum(2)).sum() / 64
        return nll + 0.01 * (js * js).sum() + 0.01 * (v.h * v.h).sum()
    return value


# Both [64, 10, 4] from t[j, b, i, a]: a product with zeros and ones, and a gather.
potts_product = potts_by(lambda xp, t, x, ms: (x.reshape(64, 40) @ t.reshape(40, 40)).reshape(64, 10, 4))
potts_gather = potts_by(lambda xp, t, x, ms: t[xp.arange(10)[None, :], ms].sum(1))

def cart(sin, cos, s, u):
    push = (u + 0.05 * s[3] ** 2 * sin(s[2])) / 1.1
    turn = (9.8 * sin(s[2]) - cos(s[2]) * push) / (0.5 * (4 / 3 - 0.1 * cos(s[2]) ** 2 / 1.1))
    return [s[0] + 0.05 * s[1], s[1] + 0.05 * (push - 0.05 * turn * cos(s[2]) / 1.1), s[2] + 0.05 * s[3], s[3] + 0.05 * turn]


def cart_cost(cos, s):
    return s[0] ** 2 + 0.1 * s[1] ** 2 + 2 * (1 - cos(s[2])) + 0.1 * s[3] ** 2


def cartpole(xp, v):
    first = (v.s0[0], v.s0[1], v.s0[2], v.s0[3])
    last, costs = xp.scan(lambda s, u: cart(xp.sin, xp.cos, s, u), lambda s: cart_cost(xp.cos, s), first, v.u)
    return costs + 0.01 * (v.u * v.u).sum() + 10 * cart_cost(xp.cos, last)


def unrolled(step, cost, s, us):
    total = 0
    for k in range(20):
        total = total + cost(s)
        s = step(s, us[k])
    return s, total


WRITTEN = {
    "quad16": [quad], "quad64": [quad], "lse32": [lse], "rosen10": [rosenbrock], "trig16": [trig], "sphere": [sphere],
    "lasso50x100": [lasso], "portfolio50": [portfolio], "ot196": [transport], "potts": [potts_product, potts_gather],
    "chain200": [rosenbrock], "chain1000": [rosenbrock], "chain10000": [rosenbrock],
    "cartpole20": [cartpole],
}
CHUNKED = ("ot196", "potts")  # in parts of 1024 instances: a batch of 16,384 would need gigabytes for intermediates


# CasADi is column-major: instance arrays come as the transpose of the file's, with more than two axes as a vector;
# shared matrices come as they are.
def ca_quad(ca, v):
    return 0.5 * ca.dot(v.y, v.A @ v.y) + ca.dot(v.x, v.y)


def ca_bilinear(ca, v):
    return 0.5 * ca.bilin(v.A, v.y, v.y) + ca.dot(v.x, v.y)


def ca_rosenbrock(ca, v):
    a = v.y[:-1]
    return v.x * ca.sumsqr(v.y[1:] - a * a) + ca.sumsqr(1 - a)


def ca_sphere(ca, v):
    d = [2 * ca.atan2(ca.norm_2(v.y - v.z[:, j]), ca.norm_2(v.y + v.z[:, j])) for j in range(4)]
    return -0.5 * ca.logsumexp(ca.vertcat(*[-(d[j] ** 2 / 2 + v.alpha[j]) / 0.5 for j in range(4)]))


def ca_lasso(ca, v):
    return 0.5 * ca.sumsqr(v.A @ v.y - v.b) + 0.1 * ca.sum1(ca.fabs(v.y))


def ca_cartpole(ca, v):
    first = [v.s0[k] for k in range(4)]
    last, costs = unrolled(lambda s, u: cart(ca.sin, ca.cos, s, u), lambda s: cart_cost(ca.cos, s), first, v.u)
    return costs + 0.01 * ca.sumsqr(v.u) + 10 * cart_cost(ca.cos, last)


def ca_portfolio(ca, v):
    return 0.5 * ca.bilin(v.S, v.w, v.w) - ca.dot(v.mu, v.w) + 0.002 * ca.sum1(ca.fabs(v.w - v.w0))


def ca_transport(ca, v):
    f, c = ca.MX.sym("f", 196), ca.MX.sym("c", 196)
    column = ca.Function("column", [f, c], [0.01 * ca.logsumexp((f - c) / 0.01)])
    return ca.dot(column.map("columns", "serial", 196, [0], [])(v.f, v.C).T, v.b) - ca.dot(v.f, v.a)


def ca_potts(ca, v):
    at = lambda i, j, a, b: ((i * 10 + j) * 4 + a) * 4 + b
    J = ca.SX.sym("J", 1600)
    index = [(i, j, a, b) for i in range(10) for j in range(10) for a in range(4) for b in range(4)]
    js = ca.vertcat(*[0 if i == j else (J[at(i, j, a, b)] + J[at(j, i, b, a)]) / 2 for i, j, a, b in index])
    symmetric = ca.Function("symmetric", [J], [js])
    h, x, total = ca.SX.sym("h", 4, 10), ca.SX.sym("x", 10), 0
    one_hot = [[x[j] == b for b in range(4)] for j in range(10)]
    for i in range(10):
        t = [h[a, i] + sum(J[at(i, j, a, b)] * one_hot[j][b] for j in range(10) if j != i for b in range(4))
             for a in range(4)]
        total += ca.logsumexp(ca.vertcat(*t)) - sum(t[a] * one_hot[i][a] for a in range(4))
    sequences = ca.Function("nll", [h, J, x], [total]).map("sequences", "serial", 64, [0, 1], [])
    js = symmetric(v.J)
    return ca.sum2(sequences(v.h, js, v.ms)) / 64 + 0.01 * ca.sumsqr(js) + 0.01 * ca.sumsqr(v.h)


BOTH = ("SX", "MX")
CASADI = {
    "quad16": [(ca_quad, BOTH), (ca_bilinear, ["MX"])], "quad64": [(ca_quad, BOTH), (ca_bilinear, ["MX"])],
    "lse32": [(lambda ca, v: ca.logsumexp(v.x + v.y), BOTH)], "rosen10": [(ca_rosenbrock, BOTH)],
    "trig16": [(lambda ca, v: ca.dot(ca.sin(v.y), ca.cos(v.x + v.y)), BOTH)], "sphere": [(ca_sphere, BOTH)],
    "lasso50x100": [(ca_lasso, BOTH)], "portfolio50": [(ca_portfolio, BOTH)], "ot196": [(ca_transport, ["MX"])],
    "potts": [(ca_potts, ["MX"])], "chain200": [(ca_rosenbrock, BOTH)], "chain1000": [(ca_rosenbrock, BOTH)],
    "chain10000": [(ca_rosenbrock, ["MX"])], "cartpole20": [(ca_cartpole, BOTH)],
}


def np_quad(np, v):
    p = v.y @ ((v.A + v.A.T) * 0.5)
    return [0.5 * np.einsum("bi,bi->b", p, v.y) + np.einsum("bi,bi->b", v.x, v.y), p + v.x]


def np_lse(np, v):
    z = v.x + v.y
    m = z.max(1, keepdims=True)
    e = np.exp(z - m)
    s = e.sum(1, keepdims=True)
    return [(np.log(s) + m)[:, 0], e / s]


def np_rosenbrock(np, v):
    a, x = v.y[:, :-1], v.x[:, None]
    d, e = v.y[:, 1:] - a * a, 1 - a
    g = np.zeros_like(v.y)
    g[:, 1:] = 2 * x * d
    g[:, :-1] -= 2 * g[:, 1:] * a + 2 * e
    return [v.x * np.einsum("bi,bi->b", d, d) + np.einsum("bi,bi->b", e, e), g]


def np_trig(np, v):
    z = v.x + v.y
    s, c = np.sin(v.y), np.cos(z)
    return [np.einsum("bi,bi->b", s, c), np.cos(v.y) * c - s * np.sin(z)]


def np_lasso(np, v):
    r = v.y @ v.A.T - v.b
    return [0.5 * np.einsum("bi,bi->b", r, r) + 0.1 * np.abs(v.y).sum(1), r @ v.A + 0.1 * np.sign(v.y)]


def np_portfolio(np, v):
    p, d = v.w @ ((v.S + v.S.T) * 0.5), v.w - v.w0
    value = np.einsum("bi,bi->b", 0.5 * p - v.mu, v.w) + 0.002 * np.abs(d).sum(1)
    return [value, p - v.mu + 0.002 * np.sign(d)]


NUMPY = {
    "quad16": np_quad, "quad64": np_quad, "lse32": np_lse, "rosen10": np_rosenbrock, "trig16": np_trig,
    "lasso50x100": np_lasso, "portfolio50": np_portfolio, "chain200": np_rosenbrock, "chain1000": np_rosenbrock,
    "chain10000": np_rosenbrock,
    "quad16.hvp": lambda np, v: [v.tangent @ ((v.A + v.A.T) * 0.5)],
    "quad64.hvp": lambda np, v: [v.tangent @ ((v.A + v.A.T) * 0.5)],
}
