"""The drivers: the way through an epoch, from the threads' phases down to the calls of the primitives, written once.

They are annotated Python. Numba compiles them at run time, each for the types that it is called with; `generate`
translates them into Cython when the extension is built, once for float32 and once for float64. What a vector
instruction does best is a primitive: ``primitives`` lists them, and each side has its own.

The language is small, and what is not in it is refused with its file and line:

- A module has imports, constants (whole numbers, or codes such as ``int(Activation.SOFTMAX)``) and functions under
  ``@kernel``, all with names of their own: in C they share one name space.
- Annotations say what a value is: the struct ``Job``; the pointers ``Reals`` (float32 or float64, as the network),
  ``Numbers`` (float64) and ``Integers`` (int64); a number of the network's type, ``Real``; ``int`` (int64), ``float``
  (float64), ``bool``; or a tuple of these that a function returns. A variable keeps what it first was, and a number of
  the network's type does not meet an ``int``: Numba would widen it.
- Statements are assignments, ``if``, ``while``, ``for`` over a ``range`` that goes up by a positive step or down by
  one, ``continue``, ``return`` and calls. Whole numbers are divided where they are not negative.
- ``advance(p, n)`` moves a pointer. ``call(job.name, (arguments))`` calls what Numba knows by its address in the job: a
  primitive, or a driver that is compiled apart. ``real(like, x)`` turns a float64 into a number of the type that
  ``like`` points to, ``reals(like, address)`` an address into a pointer to them.
"""
