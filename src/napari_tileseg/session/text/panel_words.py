"""Messages for the shell and for Python, in the words of a panel: each cure exists where it is advised."""

from __future__ import annotations

import re

#: What is advised elsewhere, and what is to be done in a panel instead.
_CURES = (
    (r"Pick channels, such as --channel [\d,]+", "Choose as many in the list of channels"),
    (
        r"check it, and state the channels in the network's order, such as --channel [\d,]+",
        "say above which is which",
    ),
    (r"state the axes \(--axes\), if they", "correct the axes in the panel, if they"),
    (
        r"Give the image's \(--voxel-size\), or do not resample",
        "Give its layer a scale and a unit, or switch resample off",
    ),
    (r"Use --level (\d+)", r"Choose level \1"),
    (
        r"If you trust where it comes from, say so by its SHA-256, which is [0-9a-f]+ \(--trust-sha256, or "
        r"the setting trust_sha256\)",
        "Open it only if you trust where it comes from",
    ),
    (r"run the same command again; or choose another location", "press Predict again"),
    (r"run the same command again", "press Predict again"),
    (
        r"(It was not touched\. )?Choose another location, or remove it first",
        "Discard the result, and predict again",
    ),
    (r"Choose another location, or fix its permissions", "Free some space, or make the folder writable"),
    (r"(wrote; it .*)\. Choose another location", r"\1. Remove it"),
    (r", choose another location, or predict a box", ", or set a box under change"),
    (r"Change its permissions, or choose another location", "Change its permissions"),
    (r"or predict to another location", "or discard the result and predict anew"),
    (r",? or choose another folder with TILESEG_HOME", ""),
    (r", or set TILESEG_HOME to one that is", ""),
    (r",? or into the setting architecture", ""),
    (r"leave the setting architecture out", "remove the description beside it"),
    (r", or name the architecture( of its state dict)? in the setting architecture", ""),
    (r", or prepare the image, and state how in the setting architecture", ""),
    (r"the setting architecture says (.*)\. Leave it out there", r"its description says \1. Leave that out"),
    (r"in the setting architecture", "in a JSON file beside it"),
    (r" \(--[a-z-]+\)", ""),
    (r"\b([0-9a-f]{8})[0-9a-f]{56}\b", "\\1\N{HORIZONTAL ELLIPSIS}"),
)


def panel_words(text: str) -> str:
    """Return the words of a panel for a message that was worded for shell and Python.

    Parameters
    ----------
    text : str
        An error, a warning or a note.

    Returns
    -------
    str
        The same with cures that a panel has; without flags of the command line and without long hashes.

    Examples
    --------
    >>> panel_words("What the labels hold has to be stated (--labels-kind).")
    'What the labels hold has to be stated.'
    """
    for pattern, words in _CURES:
        text = re.sub(pattern, words, text)
    return text
