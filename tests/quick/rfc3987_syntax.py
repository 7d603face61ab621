"""In the place of a package that only jsonschema's formats use, which nbformat has no use for, and that takes a second
to load: for tests that start one Python after another.
"""

raise ImportError("not needed here")
