"""Stochastic gradient descent: one step a sample, shuffled."""


def is_mode(cell):
    return cell.batch_size == 1


def test_sgd(measure, cell, backend):
    measure(cell, backend)
