"""A stand-in for PyAirbyte (PyPI: airbyte), with its name and its place, so that processes look as in life.

The real one brings some 140 packages and installs each connector into an environment of its own when it is first used.
This one has one source, made up, and keeps what it has read in the same kind of cache: a state file for each stream.
"""
