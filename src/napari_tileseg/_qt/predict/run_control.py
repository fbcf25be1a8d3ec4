"""Settings, plan and progress of a prediction, between the form and the session."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_tileseg._qt.common.connections import Connections
from napari_tileseg._qt.common.timers import timer
from napari_tileseg._qt.predict.form import PredictForm
from napari_tileseg._qt.predict.live_layers import LiveLayers
from napari_tileseg._words import bytes_words
from napari_tileseg.errors import TilesegError
from napari_tileseg.prediction.plan.voxel_sizes import has_other_size
from napari_tileseg.session import Session
from napari_tileseg.session.prediction.readiness import Readiness, problem_words
from napari_tileseg.session.prediction.run_story import RunWords, run_words
from napari_tileseg.session.prediction.words import (
    input_words,
    note_words,
    plan_words,
    remedy,
    statistics_words,
    trouble_words,
)

if TYPE_CHECKING:
    from napari_tileseg.prediction import TilePlan
    from napari_tileseg.settings import PredictSettings

#: Time between two looks at the clock, while something is under way.
CLOCK_MS = 1000


class RunControl(QObject):
    """Passes the form's settings to the session, and shows its state: nothing is stored here or shown twice.

    Parameters
    ----------
    session : Session
        Plans and predicts.
    form : PredictForm
        What the user sees.
    live : LiveLayers
        Shows the tiles of predictions, and knows what is in view.
    """

    def __init__(self, session: Session, form: PredictForm, live: LiveLayers) -> None:
        super().__init__()
        self._session = session
        self._form = form
        self._live = live
        self._clock = timer(CLOCK_MS, self._show_work, once=False)
        self._connections = Connections(
            (session.settings_changed, form.settings.set_settings),
            (session.settings_changed, form.show_rows),
            (session.network_changed, self._offer_devices),
            (session.image_changed, self._forget_answer),
            (session.network_changed, self._forget_answer),
            (session.settings_changed, self._forget_answer),
            (session.plan.changed, self._show),
            (session.situation_changed, self._show),
            (session.results.changed, self._show),
            (session.plan.progressed, self._show_input),
            (session.prediction.reported, self._show_work),
        )
        form.settings.changed.connect(session.set_settings)
        form.settings.checked.connect(lambda problem: session.note_unread("settings", problem))
        form.run.predict_clicked.connect(self._start)
        form.run.cancel_clicked.connect(self._cancel)
        form.view_clicked.connect(lambda: self._take_region(drawn=False))
        form.shape_clicked.connect(lambda: self._take_region(drawn=True))
        form.shown_changed.connect(self._show_layers)
        form.remedy.clicked.connect(self._remedy)
        self._offer_devices()
        form.settings.set_settings(session.settings)
        form.show_rows(session.settings)
        self._show_layers()
        self._show()

    def close(self) -> None:
        """Follow the session no more; what was typed and could not be read goes with the form."""
        self._clock.stop()
        self._connections.close()
        self._session.note_unread("settings", "")

    def _offer_devices(self, network: object = None) -> None:
        """Offer the devices of this machine, which are known once a network has been opened."""
        del network
        devices = self._session.network_choice.devices
        auto = f"auto: {devices[0]}" if devices else "auto"
        self._form.settings.offer("device", {"auto": auto, **{name: name for name in devices}})

    def _forget_answer(self, _: object = None) -> None:
        """Clear the answer to the last press: it is about what was chosen then."""
        self._form.answer.show_text("")

    def _show_layers(self) -> None:
        form = self._form
        self._live.show(
            probabilities=form.probabilities.isChecked(),
            labels=form.labels.isChecked(),
            grid=form.grid.isChecked(),
        )

    @property
    def _tiles(self) -> TilePlan | None:
        """The tiles of what is chosen; those of the network before are not the ones of one being opened."""
        return None if self._session.opening else self._session.plan.tiles

    def _show(self, _: object = None) -> None:
        self._show_plan()
        self._show_input()
        self._show_work()
        self._show_remedy()

    def _show_plan(self) -> None:
        session, form, network = self._session, self._form, self._session.network
        tiles, settings = self._tiles, session.settings
        words = plan_words(tiles, None if network is None else network.spec, session.plan.region)
        for knob in ("core", "halo"):
            if getattr(settings, knob) is not None:
                form.settings.set_derived(knob, None)
            elif tiles is not None:
                form.settings.set_derived(knob, getattr(tiles.grid, knob))
            else:
                form.settings.clear_derived(knob)
        for editor in form.settings.editors.values():
            # What is typed meanwhile would be kept with the network before.
            editor.setEnabled(not session.opening)
        laid = session.plan.laid
        fixed = "" if tiles is None or laid is None else statistics_words(laid)
        shown = (words.tiles, words.channels, fixed, words.region, self._forecast)
        form.tiles.show_text("\n".join(filter(None, shown)))
        form.tiles.setToolTip("".join(f"<p>{reason}</p>" for reason in words.why))
        contrast = session.plan.contrast
        said = words.warnings if contrast is None else (*words.warnings, contrast.sentence)
        form.warnings.show_text("\n".join(said), "warning")

    @property
    def _forecast(self) -> str:
        """What statistics and prediction take, where that is more than the tiles say."""
        session = self._session
        found, laid = session.plan.forecast, session.plan.laid
        if found is None or laid is None or session.opening:
            return ""
        return found.words(session.prediction.seconds_of_pass(laid))

    def _show_input(self, _: object = None) -> None:
        session = self._session
        plan = session.plan
        spec = None if session.network is None else session.network.spec
        words = input_words(plan.normalization, session.situation, *plan.progress, spec)
        self._form.input.show_text(*words)

    def _show_work(self, _: object = None) -> None:
        session, form = self._session, self._form
        running, story = session.prediction.running, session.prediction.story
        words = run_words(story, session.result_path, time.monotonic())
        readiness = session.readiness if not running or words.here else _OTHER_RUNS
        stopping = story is not None and story.stopping
        saving = session.results.saving
        form.run.show_state(readiness, running=running, stopping=stopping, saving=saving)
        form.run.show_run(words)
        self._show_messages(words)
        self._show_room(running=running)
        if running:
            self._clock.start()
        else:
            self._clock.stop()

    def _show_messages(self, words: RunWords) -> None:
        tiles = self._tiles
        known = () if tiles is None else (*tiles.warnings, *tiles.notes)
        contrast = self._session.plan.contrast
        known += () if contrast is None else (contrast.sentence,)
        self._form.notes.show_text(note_words(words, known), "warning")
        # What is wrong with a network is shown beside the list of networks.
        shown = self._session.network_problem
        others = [trouble for trouble in self._session.troubles if trouble is not shown]
        self._form.message.show_text(trouble_words(others, words), "error")

    def _show_room(self, *, running: bool) -> None:
        """Show before the first prediction what it will take up; at most, because files are compressed."""
        tiles, network = self._tiles, self._session.network
        if running or tiles is None or network is None or self._session.results.all:
            self._form.run.room.show_text("")
            return
        needed = tiles.grid.box.size * network.spec.out_channels * 4
        parent = next(p for p in (self._session.folder, *self._session.folder.parents) if p.exists())
        free = shutil.disk_usage(parent).free
        self._form.run.room.show_text(
            f"The result takes up to {bytes_words(needed)} on the disk, where {bytes_words(free)} are free.",
            "warning" if needed > free else "",
        )
        self._form.run.room.setToolTip(f"<p>It is written to {self._session.folder}.</p>")

    @property
    def _cure(self) -> tuple[str, PredictSettings]:
        """What a click can do about what is shown, and the settings it leads to."""
        session = self._session
        image, network = session.image, session.network
        other = image is not None and network is not None and has_other_size(image, network.spec)
        empty = session.plan.contrast is not None
        return remedy(session.situation, session.settings, other_size=other, empty=empty)

    def _show_remedy(self) -> None:
        words, _ = self._cure
        self._form.remedy.setText(words)
        self._form.remedy.setVisible(bool(words))

    def _start(self) -> None:
        self._forget_answer()
        self._form.settings.commit()
        if self._session.readiness.ready:
            try:
                self._live.follow_run(self._session.start(self._live.in_view()))
            except TilesegError as error:
                self._form.answer.show_text(problem_words(error), "error")
        self._show_work()

    def _take_region(self, *, drawn: bool) -> None:
        """Take what is in view, or drawn, as the region that statistics are of."""
        self._forget_answer()
        box = self._live.region(drawn=drawn)
        if box is None:
            words = (
                "Draw a rectangle in a Shapes layer, over the image."
                if drawn
                else "The image is not in view."
            )
            self._form.answer.show_text(words, "error")
            return
        settings = replace(self._session.settings, region=tuple(zip(box.start, box.stop, strict=True)))
        if settings.intensities != "region":
            settings = replace(settings, statistics="region")
        self._session.set_settings(settings)

    def _cancel(self) -> None:
        self._session.prediction.cancel()
        self._session.results.cancel_saving()
        self._show_work()

    def _remedy(self) -> None:
        """Carry out the remedy that the button names."""
        self._session.set_settings(self._cure[1])


_OTHER_RUNS = Readiness("Another prediction runs; wait until it is done, or cancel it.")
