"""Models as fixtures: awkward ones, healthy ones, sick ones, and those of the Hugging Face library built small.

Every table is a tuple of ``Case``; tests state laws over whole tables.
"""
