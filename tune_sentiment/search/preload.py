"""What Ray's processes for trials import ahead of the first: all that a trial needs, a fifth faster than by itself."""

import gc

gc.disable()  # imports leave no garbage, but Python would look for it a hundred times among all that they make
try:
    import tune_sentiment.search.trainable  # noqa: F401
finally:
    gc.enable()
