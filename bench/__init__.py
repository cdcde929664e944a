"""Benchmarks: ``python -m bench`` runs fastnn.bench, ``pytest bench --benchmark-only`` the files here."""
