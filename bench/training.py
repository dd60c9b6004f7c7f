#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One step of training, ours against PyTorch eager and torch.compile: the same mathematics in f64, one thread, one run.

Usage: bench/training.py [NAME ...]    the programs of bench/training; needs `tools/setup.sh` and a built `amo`

A step draws a batch, computes the loss and its gradient, and moves the weights by Adam. Ours is the difference of two
runs of `amo train`, so that what is done once cancels. PyTorch's steps are written for batches by hand (no vmap).
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import peers  # noqa: E402


def ours(name, few):
    def seconds(steps):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "m.amoz")
            run = [os.path.join(HERE, "..", "amo"), "train", os.path.join(HERE, "training", name + ".amo"), "-o", out,
                   "--steps", str(steps), "--threads", "1", "--json"]
            done = subprocess.run(run, check=True, capture_output=True, text=True)
            return json.loads(done.stdout)["seconds"]
    seconds(10)  # compiles
    return min((seconds(3 * few) - seconds(few)) / (2 * few) for _ in range(2))


def layers(torch, sizes):
    made = []
    for a, b in zip(sizes, sizes[1:]):
        layer = torch.nn.Linear(a, b)
        made += [layer.weight.detach().clone().requires_grad_(), layer.bias.detach().clone().requires_grad_()]
    return made


def sphere(torch):
    params, m, batch = layers(torch, [16, 128, 128, 3]), 4, 64

    def draw():
        z = torch.randn(batch, m, 3)
        return z / z.norm(dim=2, keepdim=True), 0.7 * torch.rand(batch, m)

    def loss(params, z, alpha):
        h = torch.cat([z.flatten(1), alpha], 1)
        for k in range(0, len(params), 2):
            h = torch.nn.functional.linear(h, params[k], params[k + 1])
            if k + 2 < len(params):
                h = torch.relu(h)
        y = h / h.norm(dim=1, keepdim=True)
        d = torch.arccos((z @ y[:, :, None])[:, :, 0].clamp(-1 + 1e-12, 1 - 1e-12))
        return (-0.5 * torch.logsumexp(-(d * d / 2 + alpha) / 0.5, 1)).mean()

    return params, draw, loss, 5e-4


def maml(torch):
    params, batch, k = layers(torch, [1, 40, 40, 1]), 25, 5

    def draw():
        a, phi = 0.1 + 4.9 * torch.rand(batch, 1), math.pi * torch.rand(batch, 1)
        t, tq = 10 * torch.rand(batch, k) - 5, 10 * torch.rand(batch, k) - 5
        return t, a * torch.sin(t - phi), tq, a * torch.sin(tq - phi)

    def net(p, t):  # one set of weights for each task, or one for all
        h = t[:, :, None]
        for i in range(0, len(p), 2):
            h = h @ p[i].transpose(-1, -2) + p[i + 1].unsqueeze(-2)
            if i + 2 < len(p):
                h = torch.relu(h)
        return h[:, :, 0]

    def loss(params, t, c, tq, cq):
        own = [p.expand(batch, *p.shape) for p in params]
        support = ((net(own, t) - c) ** 2).mean(1).sum()
        grads = torch.autograd.grad(support, own, create_graph=True)
        moved = [p - 0.01 * g for p, g in zip(own, grads)]
        return ((net(moved, tq) - cq) ** 2).mean(1).mean()

    return params, draw, loss, 1e-3


def lista(torch):
    m, n, steps, batch = 50, 100, 16, 64
    a = torch.randn(m, n)
    a /= a.norm(dim=0)
    size = 1.001 * torch.linalg.eigvalsh(a.T @ a).max()
    params = [(a.T / size).requires_grad_(), (torch.eye(n) - a.T @ a / size).requires_grad_(),
              torch.full((steps,), 0.4 / float(size)).requires_grad_()]

    def draw():
        y = (torch.rand(batch, n) < 0.1).to(a.dtype) * torch.randn(batch, n)
        return y @ a.T, y

    def loss(params, b, y):
        f, g, t = params
        c = torch.zeros_like(y)
        for k in range(steps):
            v = b @ f.T + c @ g.T
            c = torch.sign(v) * torch.relu(v.abs() - t[k])
        return ((c - y) ** 2).sum(1).mean()

    return params, draw, loss, 5e-4


def dcem_cartpole(torch):
    params, horizon, samples, elites, steps = layers(torch, [2, 256, 256, 256, 20]), 20, 100, 10, 10

    class SoftTop(torch.autograd.Function):
        """Weights in (0, 1) that sum to k: the limited multi-label projection (Amos, Koltun, Kolter 2019)."""

        @staticmethod
        def forward(ctx, x):
            low, high = -x.max() - 30, -x.min() + 30
            for _ in range(8):  # a hundred candidates at once
                grid = low + (high - low) * torch.linspace(0, 1, 101)
                below = (torch.sigmoid(x[None, :] + grid[:, None]).sum(1) < elites).sum().clamp(1, 100)
                low, high = grid[below - 1], grid[below]
            y = torch.sigmoid(x + (low + high) / 2)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            h = y * (1 - y)
            return h * (g - (h * g).sum() / h.sum())

    def draw():
        p, th, om = torch.rand(2) - 0.5, (2 * torch.rand(()) - 1) * math.pi, 2 * torch.rand(()) - 1
        return torch.stack([p[0], p[1], torch.cos(th), torch.sin(th), om]), torch.randn(steps, samples, 2)

    def controls(params, z):
        for k in range(0, len(params), 2):
            z = torch.nn.functional.linear(z, params[k], params[k + 1])
            if k + 2 < len(params):
                z = torch.nn.functional.elu(z)
        return 200 * torch.sigmoid(z) - 100

    def cost(s, u):
        x, v, c, sn, w = [s[k].expand(u.shape[0]) for k in range(5)]
        total = 0
        for t in range(horizon):
            force = (u[:, t].clamp(-100, 100) + 0.05 * w * w * sn) / 1.1
            turn = (9.8 * sn - c * force) / (0.5 * (4 / 3 - 0.1 * c * c / 1.1))
            acc = force - 0.05 * turn * c / 1.1
            angle = torch.atan2(sn, c) + 0.05 * w
            x, v, c, sn, w = x + 0.05 * v, v + 0.05 * acc, torch.cos(angle), torch.sin(angle), w + 0.05 * turn
            total = total - (c - 0.1 * x * x - 1e-5 * u[:, t] ** 2)
        return total

    def loss(params, s, normal):
        mu, sigma = torch.zeros(2), torch.full((2,), 0.5)
        for k in range(steps):
            z = (mu + sigma * normal[k]).clamp(-1, 1)
            f = cost(s, controls(params, z))
            weight = SoftTop.apply(-(f - f.mean()) / (f.std() + 1e-6))[:, None]
            mu = (weight * z).sum(0) / elites
            sigma = ((weight * (z - mu) ** 2).sum(0) / elites + 1e-12).sqrt()
        return cost(s, controls(params, mu[None])).mean()

    return params, draw, loss, 5e-4


def theirs(torch, make, compiled, steps):
    torch.manual_seed(0)
    params, draw, loss, rate = make(torch)
    optimizer = torch.optim.Adam(params, rate, foreach=True)

    def gradients(*batch):
        value = loss(params, *batch)
        return value, torch.autograd.grad(value, params)

    run = torch.compile(gradients) if compiled else gradients

    def step():
        value, grads = run(*draw())
        for p, g in zip(params, grads):
            p.grad = g
        optimizer.step()
        return value

    for _ in range(min(20, steps)):
        step()
    best = math.inf
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        best = min(best, (time.perf_counter() - start) / steps)
    return best


def main():
    peers.settings(1)
    peers.install(True)
    import torch
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    # By name: the peers' program, how many steps of theirs are timed at once, and how many of ours: a multiple of the
    # hundred looks that a run takes at its validation draws, so that these cancel too.
    makers = {"sphere": (sphere, 300, 2000), "maml": (maml, 300, 2000), "lista": (lista, 300, 2000),
              "dcem_cartpole": (dcem_cartpole, 20, 200)}
    names = sys.argv[1:] or list(makers)
    print("%-14s %12s %14s %16s %8s %8s" % ("", "ours, us", "eager, us", "compile, us", "eager/", "compile/"))
    for name in names:
        make, steps, few = makers[name]
        mine, eager = ours(name, few), theirs(torch, make, False, steps)
        try:
            compiled = theirs(torch, make, True, steps)
        except Exception as error:  # a graph that it cannot compile
            print("torch.compile of %s: %s" % (name, str(error).splitlines()[0]), file=sys.stderr)
            compiled = math.nan
        print("%-14s %12.1f %14.1f %16.1f %8.2f %8.2f" % (name, mine * 1e6, eager * 1e6, compiled * 1e6, eager / mine,
                                                          compiled / mine), flush=True)


if __name__ == "__main__":
    main()
