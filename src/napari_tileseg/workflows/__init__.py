"""What shell and viewer both drive: fine-tuning, and training from scratch.

Importing this package loads no torch: public names are resolved when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
