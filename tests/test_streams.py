"""Samples larger than memory: blocks of files and streams, with the bits of samples in memory."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from conftest import peak_memory

import fastnn
from fastnn.data import Blocks, ReadError, Scaler, Stream, Table

M, N = 2300, 5  # of samples, more than two granules of a training
RNG = np.random.default_rng(5)
X = RNG.integers(-90, 90, (M, N)).astype(np.int8)
Y = (X[:, 0] + X[:, 1] > 10).astype(int)
SMALL = {"block_rows": 130, "window_rows": 600}


@pytest.fixture(autouse=True)
def no_reader_is_left():
    yield
    assert [each.name for each in threading.enumerate() if each.name == "fastnn reader"] == []


@pytest.fixture
def tiny(monkeypatch):
    """Windows and blocks of so few bytes that X is larger."""
    monkeypatch.setattr(fastnn.data.blocks, "WINDOW_BYTES", 600 * N)
    monkeypatch.setattr(fastnn.data.sources, "BLOCK_BYTES", 130 * N)
    monkeypatch.setattr(fastnn.data.chunks, "WINDOW_BYTES", 600 * N)


def network(sizes=(N, 4, 2), **options):
    return fastnn.Network(sizes, "tanh", rng=1, **options)


class Sliced:
    """Rows by slices; it knows the longest, and gives what is wrong where it is told to."""

    def __init__(self, X, wrong=None):
        self.X, self.shape, self.dtype, self.wrong = X, X.shape, X.dtype, wrong
        self.longest = 0

    def __getitem__(self, rows):
        part = self.X[rows].copy()
        self.longest = max(self.longest, len(part))
        if self.wrong and rows.start <= self.wrong[0] < rows.stop:
            return self.wrong[1](part, self.wrong[0] - rows.start)
        return part


def chunks(X=X, y=Y, length=170):
    return [(X[i : i + length], y[i : i + length]) for i in range(0, len(X), length)]


def stream(once=False, window_rows=600, **options):
    found = iter(chunks()) if once else lambda: iter(chunks())
    return Stream(found, samples=M, window_rows=window_rows, **options)


def assert_same(one, other, histories):
    np.testing.assert_array_equal(one.parameters, other.parameters)
    assert histories[0].loss == histories[1].loss
    assert one.rng.bit_generator.state == other.rng.bit_generator.state


WAYS = [(1, True), (7, True), (7, False), (100, True), (1500, True)]  # batches across windows, longer than one


def ways(backend):
    return WAYS if fastnn.get_backend() != "numpy" else WAYS[-2:]  # its steps of few samples are slow


def test_the_same_order_in_memory_has_the_same_bits(backend, monkeypatch):
    monkeypatch.setattr(fastnn.training, "_OPERATIONS_PER_CALL", 1e6)  # several calls a window
    for batch_size, shuffle in ways(backend):
        compare_blocks(batch_size, shuffle)


def compare_blocks(batch_size, shuffle):
    options = {"optimizer": "sgd", "learning_rate": 0.003, "batch_size": batch_size, "epochs": 2, "l2": 0.1}
    net, expected, blocks = network(), network(), Blocks(Sliced(X), **SMALL)
    weights = RNG.random(M)
    history = net.fit(blocks, Y, weights, "balanced", shuffle=shuffle, **options)
    own = (lambda m: blocks.order(expected.rng)) if shuffle else False
    histories = history, expected.fit(X, Y, weights, "balanced", shuffle=own, **options)
    assert_same(net, expected, histories)
    np.testing.assert_allclose(net.predict_proba(blocks), net.predict_proba(X), rtol=1e-5)
    assert net.score(blocks, Y, weights) == pytest.approx(net.score(X, Y, weights), rel=1e-6)
    assert net.loss(blocks, Y, 0.1, weights) == pytest.approx(net.loss(X, Y, 0.1, weights), rel=1e-6)


def test_a_stream_has_the_bits_of_memory(backend):
    for batch_size, shuffle in ways(backend):
        compare_streams(batch_size, shuffle)


def compare_streams(batch_size, shuffle):
    options = {"optimizer": "adam", "batch_size": batch_size, "epochs": 2, "validation_data": (X[:99], Y[:99])}
    net, expected = network(), network()
    own = (lambda m: stream().order(expected.rng)) if shuffle else False
    histories = net.fit(stream(), shuffle=shuffle, **options), expected.fit(X, Y, shuffle=own, **options)
    assert_same(net, expected, histories)
    assert histories[0].validation_loss == histories[1].validation_loss
    np.testing.assert_array_equal(net.predict(stream()), net.predict(X))
    assert net.score(stream()) == net.score(X, Y)
    assert net.loss(stream(once=True)) == pytest.approx(net.loss(X, Y), rel=1e-6)


def test_an_order_is_blocks_in_random_order_shuffled_within_windows():
    blocks = Blocks(X, **SMALL)
    order, other = (blocks.order(np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(np.sort(order), np.arange(M))
    assert (order == other).sum() < M / 10
    first = np.unique(order[: 4 * 130] // 130)
    assert len(first) == 4, "of four blocks, which fit into a window"
    assert (np.diff(order[: 4 * 130]) == 1).sum() < 20
    assert blocks.spans()[-1] == (2210, 2300)
    np.testing.assert_array_equal(
        Blocks(X, 130, M).order(np.random.default_rng(0)), np.random.default_rng(0).permutation(M)
    )


def files(kind, folder):
    """Return X in a file of that kind, and what must be open meanwhile."""
    if kind == "memmap":
        np.save(folder / "X.npy", np.vstack([X[:3], X]))
        return np.load(folder / "X.npy", mmap_mode="r")[3:]
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        file = h5py.File(folder / "X.h5", "w")
        return file.create_dataset("X", data=X.astype(">i2"), chunks=(64, N), compression="gzip")
    if kind == "zarr":
        return pytest.importorskip("zarr").create_array(str(folder / "X.zarr"), data=X, chunks=(64, 2))
    table = {f"column {j}": X[:, j] for j in range(N)} | {"y": Y.astype(float)}
    pa = pytest.importorskip("pyarrow")
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(pa.table(table), folder / "X.parquet", row_group_size=300)
        return Table(folder / "X.parquet", list(table)[:N])
    with pa.ipc.new_file(str(folder / "X.arrow"), pa.table(table).schema) as writer:
        writer.write_table(pa.table(table), max_chunksize=300)
    return Table(folder / "X.arrow", list(table)[:N])


@pytest.mark.parametrize("kind", ["memmap", "h5py", "zarr", "parquet", "arrow"])
def test_files_are_read_in_blocks(kind, tmp_path, tiny):
    found = files(kind, tmp_path)
    blocks = fastnn.data.in_blocks(found)
    assert isinstance(blocks, Blocks)
    assert {"h5py": 64, "zarr": 128, "parquet": 300, "arrow": 300}.get(kind, 130) == blocks.block_rows
    net, expected = network(), network()
    options = {"epochs": 2, "scale": Scaler.of(X), "early_stopping": True}
    histories = (
        net.fit(found, Y, validation_data=(found, Y), **options),
        expected.fit(X, Y, validation_data=(X, Y), shuffle=lambda m: blocks.order(expected.rng), **options),
    )
    assert_same(net, expected, histories)
    np.testing.assert_allclose(histories[0].validation_loss, histories[1].validation_loss, rtol=1e-6)
    np.testing.assert_allclose(net.forward(found), net.forward(X), rtol=1e-5)
    if isinstance(found, Table):
        np.testing.assert_array_equal(found.column("y"), Y)


def test_what_fits_into_a_window_is_taken_into_memory(tmp_path):
    mapped, object_ = files("memmap", tmp_path), Sliced(X)
    assert fastnn.data.in_blocks(mapped) is mapped
    net, expected = network(), network()
    histories = (
        net.fit(object_, Y, batch_size=None, optimizer="sgd", epochs=2),
        expected.fit(X, Y, batch_size=None, optimizer="sgd", epochs=2),
    )
    assert_same(net, expected, histories)
    assert type(fastnn.data.in_blocks(Blocks(X))) is np.ndarray


@pytest.mark.parametrize("shift", [0, 1e6])
def test_a_scale_is_measured_in_one_pass(shift):
    numbers = RNG.normal(size=(M, N)) + shift
    for source in (Blocks(Sliced(numbers), **SMALL), Stream(lambda: iter(chunks(numbers)), window_rows=99)):
        for columns in (True, False):
            found, expected = Scaler.of(source, columns), Scaler.of(numbers, columns)
            np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-12)
            np.testing.assert_allclose(found.deviation, expected.deviation, rtol=1e-9)
    net, expected = network(dtype="float64"), network(dtype="float64")
    net.fit(Blocks(Sliced(numbers), **SMALL), Y, scale="standard", epochs=1, shuffle=False)
    expected.fit(numbers, Y, scale="standard", epochs=1, shuffle=False)
    np.testing.assert_allclose(net.parameters, expected.parameters, rtol=1e-6)


def test_labels_of_a_stream(tmp_path):
    names = np.array(["no", "yes"])[Y]
    net, given = network(), network()
    net.fit(Stream(chunks(X, names)), epochs=1)
    given.fit(Stream(iter(chunks(X, names)), samples=M, classes=["yes", "no"]), epochs=1)
    np.testing.assert_array_equal(net.parameters, given.parameters)
    assert net.classes.tolist() == given.classes.tolist() == ["no", "yes"]
    assert set(net.predict(X)) == {"no", "yes"}
    with pytest.raises(ValueError, match="y of chunk 0 must hold known labels; found the label"):
        network().fit(Stream(chunks(X, names), samples=M))
    columns = [(np.asfortranarray(x.astype(float)), y) for x, y in [*chunks(length=766), (X[-1:], Y[-1:])]]
    network().fit(Stream(columns[:-2] + columns[-1:]), epochs=1)  # one row alone is in C order as well
    regression = network((N, 1), loss="squared_error")
    regression.fit(Stream(lambda: iter(chunks(X, X @ np.ones(N)))), epochs=1, sample_weight=np.ones(M))
    found = regression.score(Stream(chunks(X, X @ np.ones(N))))
    assert found == pytest.approx(regression.score(X, X @ np.ones(N)), rel=1e-6)


def test_no_more_rows_are_in_memory_than_two_windows(monkeypatch):
    made = []
    empty = np.empty

    def counting(shape, *arguments, **options):
        if isinstance(shape, tuple) and len(shape) == 2 and shape[1] == N:
            made.append(shape[0])
        return empty(shape, *arguments, **options)

    monkeypatch.setattr(fastnn.data.feeds.np, "empty", counting)
    source = Sliced(X)
    network().fit(Blocks(source, 50, 100), Y, epochs=2)
    assert source.longest <= 50
    assert made == [100 + 1000] * 4, "in each of two epochs two windows, with room for what is left of the one before"


def test_memory_is_that_of_windows(tmp_path):
    numbers, labels = np.zeros((20_000, 200), np.uint8), np.arange(20_000) % 2
    net, blocks = fastnn.Network((200, 2), rng=1), Blocks(numbers, 500, 1000)
    parts = Stream(lambda: zip(np.split(numbers, 40), np.split(labels, 40), strict=True), window_rows=1000)
    for work in (
        lambda: net.fit(blocks, labels, epochs=1, scale="standard", validation_data=(blocks, labels)),
        lambda: net.fit(parts, epochs=1, validation_data=parts, reset=True),
        lambda: (net.score(blocks, labels), net.loss(blocks, labels), net.predict(parts)),
    ):
        assert peak_memory(work) < numbers.nbytes, "which float64, of a block, and labels are as well"


def nan(part, row):
    part = part.astype(float)
    part[row, 2] = np.nan
    return part


def no_disk(part, row):
    raise OSError("no disk")


WRONG = {
    "shorter": (
        lambda part, row: part[:row],
        r"rows from 1430 on must be float64 in shape \(130, 5\); got .* \(70, 5\)",
    ),
    "another width": (lambda part, row: part[:, :3], r"rows from 1430 on must be .*\(130, 5\); got .*\(130, 3\)"),
    "another type": (lambda part, row: part.astype("f4"), "rows from 1430 on must be float64 .*; got float32"),
    "nan": (nan, "X must be finite in float32; found nan in row 1500, column 2"),
    "error": (no_disk, "X could not be read: OSError: no disk"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_meanwhile_ends_the_training_after_the_last_whole_step(what):
    numbers, (wrong, message) = X.astype(float), WRONG[what]
    options = {"batch_size": 100, "epochs": 2, "shuffle": False, "average": fastnn.EMA(0.9)}
    source, net, expected = Sliced(numbers, (1500, wrong)), network(), network()
    blocks = Blocks(source, 130, 600)
    with pytest.raises(ReadError, match=message) as raised:
        net.fit(blocks, Y, **options)
    done = 1000  # whole steps of the samples before the window with row 1500, in granules of ten
    assert f"as after its last whole step, {done} samples into epoch 1; resume=True goes on" in str(raised.value)
    first = network()
    first.fit(numbers[:done], Y[:done], **(options | {"epochs": 1}))
    np.testing.assert_array_equal(net.parameters, first.parameters)
    source.wrong = None
    histories = net.fit(blocks, Y, resume=True, **options), expected.fit(numbers, Y, **options)
    assert_same(net, expected, histories)


def test_a_file_that_becomes_shorter(tmp_path, tiny):
    np.save(tmp_path / "X.npy", X)
    mapped, net = np.load(tmp_path / "X.npy", mmap_mode="r"), network()

    def cut(net, history):
        with (tmp_path / "X.npy").open("r+b") as file:
            file.truncate(128 + 1000 * N)

    with pytest.raises(ReadError, match=r"X.npy must hold 2300 rows; it ends in row 1000\. .* into epoch 2") as raised:
        net.fit(mapped, Y, epochs=3, callback=cut, shuffle=False)
    after = network()
    after.fit(X, Y, epochs=1, shuffle=False)
    assert "1000 samples" not in str(raised.value)
    assert np.isfinite(net.parameters).all()


def test_an_interrupt_ends_the_reader_and_can_be_resumed(tmp_path):
    options = {"epochs": 3}
    for source in (Blocks(Sliced(X), **SMALL), stream()):
        y = None if isinstance(source, Stream) else Y
        net, expected = network(), network()
        take, count = fastnn.training._Training._call, []

        def call(self, *arguments, take=take, count=count):
            take(self, *arguments)
            count.append(1)
            if len(count) == 1:
                signal.raise_signal(signal.SIGINT)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fastnn.training._Training, "_call", call)
            assert net.fit(source, y, **options).interrupted
        assert net.state.progress.partial.samples > 0
        net.save(tmp_path / "net")
        expected_history = expected.fit(source, y, **options)
        loaded = fastnn.load(tmp_path / "net")
        for one in (net, loaded):
            assert_same(one, expected, (one.fit(source, y, resume=True, **options), expected_history))


def test_the_reader_ends_with_what_it_reads_for():
    began, free, ended = threading.Event(), threading.Event(), threading.Event()

    def items():
        try:
            yield 1
            began.set()
            free.wait(10)
            yield 2
        finally:
            ended.set()

    found = fastnn.data.feeds.ahead(items())
    assert next(found) == 1
    assert began.wait(10), "the next one is made while this one is in use"
    threading.Timer(0.05, free.set).start()
    found.close()
    assert ended.is_set(), "it is closed in its own thread, for whose end there is a wait"


def broken():
    yield from chunks()[:8]
    raise OSError("connection lost")


@pytest.mark.parametrize(
    ("made", "samples", "message"),
    [
        (lambda: chunks()[:9], M, "the stream must have 2300 samples in each pass; it had 1530"),
        (lambda: [*chunks(), chunks()[0]], M, "the stream must have 2300 samples in each pass; it has more"),
        (lambda: [*chunks()[:9], (X[:5, :3], Y[:5])], M, "X of chunk 9 must have 5 columns"),
        (lambda: [*chunks(X * 1.0)[:9], (X[:5] * np.nan, Y[:5])], M, "X of chunk 9 must be finite in float32"),
        (lambda: [*chunks()[:9], (X[:5] * 1.0, Y[:5])], M, "X of chunk 9 must be int8, as in .*; got float64"),
        (lambda: [*chunks()[:9], (X[:5], Y[:4])], M, "X of chunk 9 and y of chunk 9 must have as many rows"),
        (lambda: [*chunks()[:9], (X[:5], Y[:5] + 2)], M, "y of chunk 9 must hold labels from 0 to 1"),
        (lambda: [*chunks()[:9], X[:5]], M, r"chunk 9 must be \(X, y\); got ndarray"),
        (broken, M, "X could not be read: OSError: connection lost"),
    ],
)  # fmt: skip
def test_chunks_that_are_wrong(made, samples, message):
    net, expected = network(), network()
    with pytest.raises(ReadError, match=message):
        net.fit(Stream(made, samples=samples, window_rows=400), shuffle=False)
    done = net.state.progress.partial.samples
    assert done in (1000, 2000)
    expected.fit(X[:done], Y[:done], shuffle=False, epochs=1)
    np.testing.assert_array_equal(net.parameters, expected.parameters)


def test_what_cannot_be_is_refused_before_any_work():
    blocks, net = Blocks(Sliced(X), **SMALL), network()
    before = net.parameters.copy()
    for arguments, options, error, message in (
        ((blocks, Y[:-1]), {}, ValueError, "X and y must have as many rows; got 2300 and 2299"),
        (
            (blocks, Y),
            {"batch_size": None},
            ValueError,
            "batch_size must be less than the samples of X: .* 2300 samples",
        ),
        ((blocks, Y), {"optimizer": "lbfgs"}, ValueError, "optimizer must not be lbfgs where X is read"),
        ((blocks, Y), {"shuffle": np.arange}, TypeError, "shuffle must be True or False where X is read in blocks"),
        ((Blocks(X[:, :3], **SMALL), Y), {}, ValueError, "X must have 5 columns"),
        ((stream(), Y), {}, ValueError, "y must be None for a stream"),
        ((X,), {}, TypeError, "y must be given with X, unless"),
        ((stream(once=True),), {"epochs": 2}, ValueError, "epochs must be 1 where X is a stream of an iterator"),
        ((stream(),), {"validation_data": stream(once=True)}, ValueError, "epochs must be 1 where validation_data is"),
        ((stream(once=True),), {"scale": "standard"}, ValueError, "scale must be a Scaler for a stream of an iterator"),
        ((stream(),), {"class_weight": "balanced"}, ValueError, "class_weight needs y to be labels in memory"),
        ((stream(),), {"sample_weight": np.ones(3)}, ValueError, "sample_weight must be one number a sample"),
        ((Stream([], samples=4),), {}, ValueError, "the stream is empty"),
        ((Stream(list),), {}, ReadError, "the stream is empty"),
        ((Stream([(X[:0], Y[:0])], samples=4),), {}, ValueError, "X of chunk 0 is empty"),
    ):
        with pytest.raises(error, match=message):
            net.fit(*arguments, **options)
    np.testing.assert_array_equal(net.parameters, before)
    used = stream(once=True)
    net.fit(used, epochs=1)
    with pytest.raises(ValueError, match="can be read once, and has been"):
        net.fit(used, epochs=1)
    with pytest.raises(TypeError, match="X must be an array here, in memory; got Blocks"):
        net.loss_and_gradient(blocks, Y)
    for made, error, message in (
        (lambda: Stream(3), TypeError, "chunks must be an iterable of"),
        (lambda: Stream(iter([])), ValueError, "samples must be given for an iterator"),
        (lambda: Blocks(np.zeros(3)), TypeError, r"X must have a shape \(m, n_in\)"),
        (lambda: Blocks(np.zeros((0, 3))), ValueError, "X is empty"),
        (lambda: Blocks(np.zeros((3, 3), "U1")), TypeError, "X must hold real numbers; got dtype <U1"),
        (lambda: Blocks(X, 10, 9), ValueError, "window_rows must be an integer >= 10"),
    ):
        with pytest.raises(error, match=message):
            made()


def test_tables_that_are_wrong(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1, None, 3], "b": ["x", "y", "z"]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"columns must be among \['a', 'b'\]; got 'c'"):
        Table(tmp_path / "t.parquet", ["c"])
    with pytest.raises(TypeError, match="columns must hold numbers or booleans; 'b' is string"):
        Table(tmp_path / "t.parquet")
    with pytest.raises(ReadError, match="column 'a' must hold a number in each row; 1 are missing"):
        network((1, 2)).predict(Table(tmp_path / "t.parquet", ["a"]))
