"""Reading a recipe from YAML: every key is known, or refused with what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from napari_tileseg._outputs import NETWORK, RUN, Output, check_output
from napari_tileseg._yaml import OneOfEachKey, read_yaml
from napari_tileseg.errors import NetworkError, SettingsError, StoreError, answering
from napari_tileseg.nets.spec import Activation, InputNormalization
from napari_tileseg.settings import ImageSettings, Knob, LabelSettings, TrainSettings, knobs
from napari_tileseg.workflows.recipe import STEPS, LabelledVolume, Recipe

S = TypeVar("S")
_NEEDED = ("output", "pairs", "classes", "labels_kind", "architecture")
_OTHERS = ("folder", "name", "map", "activation", "input_normalization", "image", "training")
_OF_PAIR = ("image", "labels", "validation")
_KINDS = ("quantiles", "zero_mean", "range", "none")
_EACH = ("image", "tile")


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe; paths in it are relative to its file.

    Parameters
    ----------
    path : str or Path
        YAML file.

    Raises
    ------
    SettingsError
        If it cannot be read, lacks a key, has one that is not known, or holds a value of the wrong kind; the
        message names the key and what is expected.
    """
    path = Path(path).expanduser()
    return _Reader(path).recipe(_load(path))


def _load(path: Path) -> Any:
    with answering(SettingsError, f"{path} should be a recipe in YAML", "Mend it, or write it anew."):
        return read_yaml(path, OneOfEachKey)


class _Reader:
    """Turns what YAML holds into a recipe.

    Parameters
    ----------
    path : Path
        The file, for messages and for paths in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recipe(self, values: Any) -> Recipe:
        """Read all of it."""
        given = self._mapping(values, "", (*_NEEDED, *_OTHERS), "keys such as pairs: and classes:")
        for key in _NEEDED:
            if given.get(key) is None:
                raise self._wrong(f"{key} is needed and is not there. {_EXAMPLES[key]}")
        output = self._output(self._text(given, "output"), "output", NETWORK)
        classes = self._classes(given["classes"])
        architecture, arguments = self._architecture(given["architecture"], len(classes))
        normalization, each_tile = self._normalization(given.get("input_normalization"))
        label_keys = ("labels_kind", "map")
        return Recipe(
            output=output,
            folder=self._output(self._text(given, "folder", str(output.with_suffix(".run"))), "folder", RUN),
            name=self._text(given, "name", output.stem),
            pairs=self._pairs(given["pairs"]),
            classes=classes,
            architecture=architecture,
            arguments=arguments,
            activation=self._word(given, "activation", get_args(Activation), "sigmoid"),  # type: ignore[arg-type]
            input_normalization=normalization,
            each_tile=each_tile,
            image=self._settings(ImageSettings, given.get("image"), "image"),
            labels=self._settings(LabelSettings, {key: given.get(key) for key in label_keys}, ""),
            training=self._training(given.get("training")),
        )

    def _wrong(self, message: str) -> SettingsError:
        return SettingsError(f"In {self._path}, {message}")

    def _absolute(self, text: str) -> Path:
        return (self._path.parent / Path(text).expanduser()).absolute()

    def _output(self, text: str, key: str, kind: Output) -> Path:
        try:
            check_output(text, kind)
        except StoreError as error:
            raise self._wrong(f"{key} will not do. {error}") from error
        return self._absolute(text)

    def _mapping(self, values: Any, where: str, known: tuple[str, ...], like: str) -> dict[str, Any]:
        """Read keys with values, all of them known."""
        if not isinstance(values, Mapping):
            raise self._wrong(f"{where or 'the file'} should hold {like}; got {values!r}.")
        for key in values:
            if key not in known:
                close = get_close_matches(str(key), known, n=1)
                hint = f" Did you mean {close[0]}?" if close else ""
                raise self._wrong(
                    f"{_joined(where, str(key))} means nothing; {where or 'a recipe'} has "
                    f"{', '.join(known)}.{hint}"
                )
        return dict(values)

    def _text(self, given: dict[str, Any], key: str, default: str | None = None, where: str = "") -> str:
        value = given.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(f"{_joined(where, key)} should be text; got {value!r}.")
        return value

    def _word(
        self, given: dict[str, Any], key: str, words: tuple[str, ...], default: str, where: str = ""
    ) -> str:
        value = given.get(key, default)
        if value not in words:
            raise self._wrong(f"{_joined(where, key)} is one of {', '.join(words)}; got {value!r}.")
        return str(value)

    def _classes(self, values: Any) -> tuple[str, ...]:
        names = isinstance(values, list) and all(isinstance(each, str) and each for each in values)
        if not names or not values or len(set(values)) != len(values):
            raise self._wrong(f"classes should be different names, [foreground, boundary]; got {values!r}.")
        return tuple(values)

    def _pairs(self, values: Any) -> tuple[LabelledVolume, ...]:
        if not isinstance(values, list) or not values:
            raise self._wrong(f"pairs should be a list. {_EXAMPLES['pairs']} Got {values!r}.")
        return tuple(self._pair(each, f"pairs[{number}]") for number, each in enumerate(values))

    def _pair(self, values: Any, where: str) -> LabelledVolume:
        given = self._mapping(values, where, _OF_PAIR, "image: and labels:")
        validation = given.get("validation")
        if not isinstance(validation, (bool, type(None))):
            raise self._wrong(f"{where}.validation should be true or false; got {validation!r}.")
        image, labels = (str(self._absolute(self._text(given, key, where=where))) for key in _OF_PAIR[:2])
        return LabelledVolume(image=image, labels=labels, validation=validation)

    def _architecture(self, values: Any, classes: int) -> tuple[str, dict[str, Any]]:
        from napari_tileseg.nets.architectures import registry

        if not isinstance(values, Mapping):
            raise self._wrong(f"architecture should be keys and values. {_EXAMPLES['architecture']}")
        arguments = {str(key): value for key, value in values.items()}
        name = self._word(arguments, "name", registry.names(), "unet", "architecture")
        arguments.pop("name", None)
        self._mapping(arguments, "architecture", tuple(registry.parameters(name)), "arguments")
        arguments = {"in_channels": 1, "out_channels": classes} | arguments
        try:
            found = registry.signature(name, arguments)
        except NetworkError as error:
            raise self._wrong(f"architecture does not fit: {error}") from error
        if found.out_channels != classes:
            raise self._wrong(
                f"architecture.out_channels should be {classes}, one for each of classes; got "
                f"{found.out_channels}. Leave it out."
            )
        return name, arguments

    def _normalization(self, values: Any) -> tuple[InputNormalization, bool]:
        where, keys = "input_normalization", ("kind", "low", "high", "of")
        given = self._mapping({} if values is None else values, where, keys, "kind: quantiles")
        kind = self._word(given, "kind", _KINDS, "quantiles", where)
        each_tile = self._word(given, "of", _EACH, "image", where) == "tile"
        if each_tile and kind != "quantiles":
            raise self._wrong(f"{where}.of can be tile for quantiles only; kind is {kind}.")
        usual = InputNormalization()
        low, high = (given.get(key, getattr(usual, key)) for key in keys[1:3])
        numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in (low, high))
        if not numbers or not low < high or (kind == "quantiles" and not 0 <= low < high <= 100):
            raise self._wrong(
                f"{where} has low below high, percentiles of 0 to 100 for quantiles; got {low!r}, {high!r}."
            )
        return InputNormalization(kind=kind, low=float(low), high=float(high)), each_tile  # type: ignore[arg-type]

    def _training(self, values: Any) -> TrainSettings:
        given = {} if values is None else values
        if isinstance(given, Mapping) and not given.keys() & {"steps", "minutes"}:
            given = {**given, "steps": STEPS}
        return self._settings(TrainSettings, given, "training")

    def _settings(self, cls: type[S], values: Any, where: str) -> S:
        """Read settings of a class, each value checked by its knob."""
        known = {each.name: each for each in knobs(cls)}
        like = f"settings such as {next(iter(known))}:"
        given = self._mapping({} if values is None else values, where, tuple(known), like)
        taken = {}
        for key, value in given.items():
            if value is not None:
                try:
                    taken[key] = known[key].parse(_as_text(known[key], value))
                except SettingsError as error:
                    raise self._wrong(_joined(where, str(error))) from error
        return cls(**taken)


def _joined(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _as_text(knob: Knob, value: Any) -> str:
    """Write a value as a knob would read it on the command line."""
    if isinstance(value, Mapping):
        return ",".join(f"{number}={name}" for number, name in value.items())
    if isinstance(value, list):
        pairs = (":".join(map(str, each)) if isinstance(each, list) else str(each) for each in value)
        return ",".join(pairs)
    return str(value).lower() if knob.kind == "flag" else str(value)


_EXAMPLES = {
    "output": "It is the network file to write: output: nuclei.safetensors.",
    "pairs": "Each holds image: and labels:, as in pairs: [{image: a.tif, labels: a_labels.tif}].",
    "classes": "They name the network's output channels: classes: [foreground, boundary].",
    "labels_kind": "It names what labels hold: labels_kind: classes, or instances, or strokes.",
    "architecture": "It reads like architecture: {name: unet, ndim: 3, features: [32, 64, 128], "
    "norm: batch_renorm}.",
}
