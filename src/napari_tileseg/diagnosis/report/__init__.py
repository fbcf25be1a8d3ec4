"""Diagnoses as figures, and as a page that holds them.

Figures are plain `matplotlib.figure.Figure` objects, without a window or global state. matplotlib, which the
extra ``report`` installs, is loaded when one is drawn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
