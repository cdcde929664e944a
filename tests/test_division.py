"""How work is divided, as the pure function that it is: for any vector, any number of threads and any costs."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn._kernels import schema
from fastnn._kernels.contract import Loss, Model
from fastnn._kernels.division import Costs, Request, divide
from fastnn._kernels.job import Job, Plan, plan
from fastnn._kernels.layout import layout
from fastnn._kernels.schema import CACHE_LINE

LANES = (1, 4, 8, 16)
SIZES = (1, 2, 3, 7, 16, 33, 64, 100, 129, 300, 784)
# Costs by which small networks have windows copied ahead, or all their layers divided, deferred and turned.
WINDOWS = Costs(operations_per_step=1e9, operations_per_call=1.0, max_chunk_bytes=10**9, window_samples=8)
UNITS = Costs(
    max_chunk_bytes=1, shared_tile_rows=6, divided_weights=100, inputs_to_a_row=1, deferred_weights=100,
    walk_weights=100, turn_weights=50, turn_units=1, operations_per_step=1.0, operations_per_call=1.0,
)  # fmt: skip
SHARES = (0.001, 0.01, 0.1, 1, 100)  # of the costs


@st.composite
def some_costs(draw):
    """Return the default costs or others, so that small networks are divided as large ones are, and large as small."""
    default = Costs()
    names = [name for name in vars(default) if name not in ("block_samples", "block_rows")]
    others = {name: max(1, int(getattr(default, name) * draw(st.sampled_from(SHARES)))) for name in names}
    others["operations_per_call"] = draw(st.sampled_from([1.0, 1e4, default.operations_per_call]))
    return draw(st.sampled_from([default, Costs(**others), WINDOWS, UNITS]))


@st.composite
def plans(draw):
    sizes = tuple(draw(st.lists(st.sampled_from(SIZES), min_size=2, max_size=5)))
    samples = draw(st.integers(1, 4000))
    training, per_sample = draw(st.sampled_from([(False, False), (True, False), (True, True)]))
    batch_size = 1 if per_sample else draw(st.integers(1, samples))
    backward = training or draw(st.booleans())
    request = Request(
        samples, batch_size, draw(st.integers(1, 3)), backward, training, per_sample, training and draw(st.booleans())
    )
    threads, costs = draw(st.integers(1, 8)), draw(some_costs())
    return plan(model(sizes), draw(st.sampled_from(LANES)), draw(st.sampled_from([4, 8])), request, threads, costs)


def model(sizes):
    n_in, n_out = np.array(sizes[:-1]), np.array(sizes[1:])
    ends = np.cumsum(n_in * n_out + n_out)
    weights, biases = (0, *ends[:-1].tolist()), tuple((ends - n_out).tolist())
    return Model(sizes, weights, biases, (0,) * len(n_in), (0.0,) * len(n_in), int(Loss.SQUARED_ERROR))


def check_blocks(planned: Plan) -> None:
    """Each row of the gradient is in exactly one block, those of per-sample descent have no row of biases."""
    division, request = planned.division, planned.request
    if not request.backward:
        assert division.blocks == ()
        return
    seen = Counter((layer, row) for layer, begin, end in division.blocks for row in range(begin, end))
    assert set(seen.values()) == {1}
    n_in, n_out, plain = planned.layout.n_in, planned.layout.n_out, division.plain_layers(request.per_sample)
    for layer in range(planned.layout.layers):
        rows = n_in[layer] + 1
        if request.per_sample:
            rows = n_in[layer] if layer < plain else n_out[layer]
        assert {row for at, row in seen if at == layer} == set(range(rows))


def check_parts(planned: Plan) -> None:
    """A layer's two parts begin at cache lines, and a block is in one of them."""
    division, line = planned.division, planned.layout.line
    for layer, split in enumerate(division.split):
        assert split % line == 0
        for at, begin, end in division.blocks:
            assert at != layer or end <= split or begin >= split


def check_rows(planned: Plan) -> None:
    """Chunks and tiles, as the drivers go through them, take each row of a batch once."""
    division, request = planned.division, planned.request
    assert division.threads >= 1
    assert 1 <= division.task_rows <= division.tile_rows
    last = request.samples % request.batch_size or request.batch_size
    for batch_rows in {request.batch_size, last}:
        chunks = min(division.chunks, batch_rows)
        ends = [chunk * batch_rows // chunks for chunk in range(chunks + 1)]
        assert (ends[0], ends[-1]) == (0, batch_rows)
        assert all(begin < end for begin, end in pairwise(ends))
        if division.paired:  # a thread adds the second chunk's gradient as it computes it
            assert max(end - begin for begin, end in pairwise(ends)) <= division.tile_rows
    if division.window:
        assert division.window % request.batch_size == 0
        assert division.threads == 2


def check_workspace(planned: Plan) -> None:
    """Pieces begin at cache lines, do not overlap, and what must be zeros is cleared."""
    workspace, layers, rows = planned.workspace, planned.layout, planned.division.tile_rows
    starts = sorted(workspace.offsets.values())
    assert all(start % CACHE_LINE == 0 for start in starts)
    ends = dict(zip(starts, [*starts[1:], workspace.size], strict=True))
    for piece, size in needed(planned).items():
        assert size == 0 or workspace.offsets[piece] + size <= ends[workspace.offsets[piece]], piece
    first, last = workspace.cleared
    for piece in ("team", "tiles", "logits", "row_losses", "chunk_losses", "loss", "gathered", "gram"):
        assert piece not in workspace.offsets or first <= workspace.offsets[piece] < last
    for piece in ("table", "block_table", "slopes", "one", "struct"):
        assert workspace.offsets[piece] < first
    outputs, deltas = workspace.columns["outputs"], workspace.columns["deltas"]
    places = sorted([*zip(outputs, layers.width_out, strict=True), *zip(deltas[:-1], layers.width_out, strict=False)])
    assert all(start + rows * width <= after for (start, width), (after, _) in pairwise(places))
    assert deltas[-1] == outputs[-1]
    assert workspace.sizes["tile_size"] >= workspace.sizes["compact"] + 3 * rows * layers.n_out[-1]


def needed(planned: Plan) -> dict[str, int]:
    """Return how many bytes the drivers use of each piece, reckoned anew from what they do."""
    layers, division, request = planned.layout, planned.division, planned.request
    rows, real, widest = division.tile_rows, planned.layout.itemsize, max(planned.layout.width_out)
    tiles = 1 if division.shared else division.threads
    sizes = {
        "tiles": tiles * planned.workspace.sizes["tile_size"] * real,
        "team": (24 + 8 * division.threads) * 8,
        "row_losses": tiles * rows * 8,
        "chunk_losses": division.chunks * 8,
        "logits": division.threads * (layers.width_out[-1] + 1) * layers.lanes * real,
        "table": layers.layers * len(schema.COLUMNS) * 8,
        "block_table": 3 * len(division.blocks) * 8,
    }
    if request.per_sample:
        sizes["gathered"] = 2 * rows * layers.width_in[0] * real
        sizes["gram"] = (2 * rows + 1) * rows * real
        sizes["scratch"] = division.threads * (3 if division.turned else 1) * widest * real
    elif request.ordered and not division.window:
        sizes["gathered"] = tiles * rows * layers.width_in[0] * real
    if request.backward and not request.per_sample:
        weights_and_biases = [
            n_out * width_in + n_out + n_in * n_out if flipped else (n_in + 1) * width_out
            for n_in, n_out, width_in, width_out, flipped in zip(
                layers.n_in, layers.n_out, layers.width_in, layers.width_out, layers.flipped, strict=True
            )
        ]
        sizes["sums"] = division.chunks * sum(weights_and_biases) * real
    if division.window:
        sizes["staged"] = 2 * division.window * layers.n_in[0] * real
        sizes["staged_targets"] = 2 * division.window * max(8, layers.n_out[-1] * real)
    if division.divided:
        depth = max(layers.n_out[: division.divided])
        units = max(layers.padded(end - begin) for layer, begin, end in division.blocks if layer < division.divided)
        sizes["scratch"] = division.threads * units * depth * real
        sizes["partials"] = 2 * rows * max(layers.width_out[: division.divided]) * real
    for layer in range(division.plain_layers(request.per_sample), layers.layers):
        if request.backward or layers.width_out[layer] == 1:
            sizes[f"transposed {layer}"] = layers.n_out[layer] * layers.width_in[layer] * real
    return sizes


def paths(planned: Plan) -> dict[str, bool]:
    """Return which ways of dividing work are taken."""
    division, request = planned.division, planned.request
    return {
        "shared": division.shared and not request.per_sample,
        "chunks": division.chunks > 1,
        "pairs": division.paired,
        "tiles": division.tile_rows < request.batch_size,
        "divided": division.divided > 0,
        "below undivided": 0 < division.divided < planned.layout.layers,
        "window": division.window > 0,
        "deferred": any(division.deferred),
        "deferred later": any(division.deferred[2:]),
        "turn": division.turned > 0,
        "several turn tasks": division.turned > 1,
        "divided walk": division.walk_divided,
        "threads": division.threads > 1,
        "flipped": any(planned.layout.flipped),
    }


def test_any_division():
    reached: Counter[str] = Counter()

    @settings(max_examples=600, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(planned=plans())
    def check(planned):
        check_blocks(planned)
        check_parts(planned)
        check_rows(planned)
        check_workspace(planned)
        reached.update(path for path, taken in paths(planned).items() if taken)

    check()
    example = plan(model((1, 1)), 4, 4, Request(1, 1), 1, Costs())
    assert [path for path in paths(example) if not reached[path]] == []


@pytest.mark.parametrize("lanes", LANES)
def test_the_same_sums_for_any_number_of_threads(lanes):
    """What decides the order of sums does not depend on the threads: it would change bits."""
    for sizes in ((784, 128, 10), (20, 16, 1), (784, 512, 512, 10), (54, 100, 100, 7)):
        for batch_size in (1, 100, 20_000):
            request = Request(20_000, batch_size, 1, True, True, batch_size == 1, True)
            found = [divide(layout(sizes, lanes, 4), request, threads, Costs()) for threads in (1, 2, 3, 8)]
            for name in ("tile_rows", "shared", "chunks", "divided", "split", "blocks", "deferred", "turned"):
                assert len({getattr(division, name) for division in found}) == 1, name


# What the costs as measured come to for the networks of the benchmark, float32: threads of at most eight, tile rows,
# chunks, layers divided; for samples one by one: threads, deferred layers, turn tasks.
EXPECTED = {
    ((20, 16, 1), 100): (1, 100, 1, 0),
    ((784, 128, 10), 100): (8, 100, 1, 1),
    ((784, 512, 512, 10), 100): (8, 100, 1, 2),
    ((784, 128, 10), 20_000): (8, 90, 32, 0),
}


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize(("sizes", "batch_size"), EXPECTED)
def test_networks_of_the_benchmark(sizes, batch_size, lanes):
    division = divide(layout(sizes, lanes, 4), Request(20_000, batch_size, 1, True, True), 8, Costs())
    assert (division.threads, division.tile_rows, division.chunks, division.divided) == EXPECTED[sizes, batch_size]


def test_a_job_holds_its_plan():
    planned = plan(model((33, 20, 5)), 8, 4, Request(300, 300, backward=True), 2, Costs())
    job = Job(planned, {"multiply": 12345})
    assert job.address % CACHE_LINE == 0
    assert (job["tile_rows"], job["multiply"]) == (planned.division.tile_rows, 12345)
    assert list(job.column("width_out")) == [24, 8]
    assert job["tiles"] == job.address_of("tiles") != 0
    assert job["staged"] == 0
    assert job.column("transposed").tolist() == [0, job.address_of("transposed 1")]


def test_what_only_goes_forward_has_no_transposed_weights():
    planned = plan(model((33, 20, 5)), 8, 4, Request(300, 300), 2, Costs())
    assert not any(piece.startswith(("transposed", "sums", "scratch")) for piece in planned.workspace.offsets)
