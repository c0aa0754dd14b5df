"""Whole programs, one a contender: `python -m benchmarks.contenders.NAME INPUT OUTPUT --budget N`.

Each is what somebody would write who had this job alone and this library; it imports what it needs and nothing more.
With `--notes FILE` it also says what its stages took and how much memory it held (`notes`).
"""
