"""How the verbs that train word their result."""

from __future__ import annotations

from typing import Any


def trained_line(values: dict[str, Any]) -> str:
    """Return where the network is, how long it was trained, and which weights it has.

    Parameters
    ----------
    values : dict
        What the verb answers with ``--json``.
    """
    # Sessions open images and what reads them: too much to load for a page of help.
    from napari_tileseg.workflows.verdict import kept_words

    steps = f"{values['steps']} step{'' if values['steps'] == 1 else 's'}"
    kept = kept_words(values["kept"], values["kept_step"])
    return f"{values['output']}: {steps} in {values['seconds']:.0f} s; {kept}"


def parts_words(parts: dict[str, float]) -> str:
    """Return what took how long, such as ``scoring before 3 s, steps 41 s``, but for what took no second."""
    return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items() if seconds >= 0.95)
