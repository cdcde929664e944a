"""Mini-batches of 100 to 256 samples out of a large m, shuffled, with SGD and with Adam."""


def is_mode(cell):
    return cell.batch_size is not None and cell.batch_size > 1


def test_minibatch(measure, cell, backend):
    measure(cell, backend)
