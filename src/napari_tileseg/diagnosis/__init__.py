"""Where tiles disagree, how much, why, and what to do: functions from predictions to small frozen results.

Importing this package loads no torch: public names are resolved when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
