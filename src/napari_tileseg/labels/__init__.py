"""What labels mean: strokes, classes or instances as targets of a network's classes; and Dice.

It knows NumPy and SciPy only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
