"""Running a network on tiles of a prepared image, exactly as on the whole image.

Importing this package does not load torch; opening an engine does.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
