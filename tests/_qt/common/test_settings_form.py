"""Forms are derived from the knobs."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit

from napari_tileseg._qt.common.settings_form import SettingsForm
from napari_tileseg.settings import ImageSettings, NetworkSettings, PredictSettings, TrainSettings, knobs

pytestmark = pytest.mark.usefixtures("qapp")

OTHER = PredictSettings(
    core=(32, 64), halo=((3, 4), (5, 5)), box=((0, 8), (2, 9)), normalize="range", range=(1.5, 2.5), batch=2
)


@pytest.mark.parametrize("settings", [PredictSettings, ImageSettings, NetworkSettings])
def test_untouched_it_equals_the_defaults(settings):
    form = SettingsForm(settings)
    assert form.settings() == settings()
    assert set(form.editors) == {knob.name for knob in knobs(settings)}


def test_it_shows_and_gives_back_any_settings():
    form = SettingsForm(PredictSettings)
    form.set_settings(OTHER)
    assert form.settings() == OTHER
    form.set_settings(PredictSettings())
    assert form.settings() == PredictSettings()


def test_each_editor_says_what_it_is_for_and_its_bounds():
    form = SettingsForm(PredictSettings)
    for knob in knobs(PredictSettings):
        assert knob.help in form.editors[knob.name].toolTip()
    assert "%" in form.editors["quantiles"].toolTip()
    assert isinstance(form.editors["resample"], QCheckBox)
    assert isinstance(form.editors["dtype"], QComboBox)
    assert isinstance(form.editors["core"], QLineEdit)


def test_names_beside_editors_are_words():
    fold = SettingsForm(TrainSettings).folded(())
    shown = {label.text() for label in fold.findChildren(QLabel)}
    assert shown == {knob.name.replace("_", " ") for knob in knobs(TrainSettings)}


def test_a_list_of_devices_is_filled_in_later_and_keeps_what_is_chosen():
    form = SettingsForm(PredictSettings, offered=("device",))
    form.set_settings(PredictSettings(device="cuda:1"))
    form.offer("device", {"auto": "auto: cuda:0", "cuda:0": "cuda:0", "cpu": "cpu"})
    assert form.settings().device == "cuda:1"
    form.editors["device"].setCurrentText("auto: cuda:0")
    assert form.settings().device == "auto"


def test_derived_values_are_filled_in_and_count_as_not_set():
    form = SettingsForm(PredictSettings)
    form.set_derived("halo", ((22, 22), (18, 14)))
    assert form.editors["halo"].text() == "22,18:14"
    assert form.settings().halo is None
    form.set_derived("halo", ((4, 4), (4, 4)))
    assert form.editors["halo"].text() == "4,4"


def test_a_derived_value_goes_with_what_gave_it_and_one_that_was_typed_does_not():
    form = SettingsForm(PredictSettings)
    form.set_derived("core", (64, 64))
    form.set_derived("halo", ((4, 4), (4, 4)))
    form.editors["halo"].setText("8,8")
    form.clear_derived("core")
    form.clear_derived("halo")
    assert form.editors["core"].text() == ""
    assert form.settings().core is None
    assert form.settings().halo == ((8, 8), (8, 8))


def test_what_the_user_sets_stays():
    form = SettingsForm(PredictSettings)
    form.set_derived("core", (64, 64))
    form.editors["core"].setText("32,32")
    form.set_derived("core", (96, 96))
    assert form.settings().core == (32, 32)
    form.set_derived("core", None)
    assert form.settings().core == (32, 32)
    form.editors["core"].setText("")
    assert form.settings().core is None


def test_a_text_that_cannot_be_is_told(qtbot):
    form = SettingsForm(PredictSettings)
    form.editors["core"].setText("many")
    with qtbot.waitSignal(form.checked) as told:
        form.editors["core"].editingFinished.emit()
    assert "32,64,64" in told.args[0]


def type_over(editor, *keys):
    """Mark all, delete it, and press keys: a letter each, or one of Qt's."""
    editor.selectAll()
    for key in (Qt.Key.Key_Delete, *keys):
        QTest.keyClick(editor, key)


@pytest.mark.parametrize("name", ["core", "halo"])
@pytest.mark.parametrize("wrong", ["x", "abc", "-3", "1,,2", "22,22"])
def test_what_is_typed_over_a_wrong_entry_is_all_that_stands_there(name, wrong):
    form = SettingsForm(PredictSettings)
    form.changed.connect(
        lambda _: form.set_derived(name, (22, 22) if name == "core" else ((22, 22), (22, 22)))
    )
    form.editors[name].setText(wrong)
    form.commit()
    type_over(form.editors[name], *"8,9", Qt.Key.Key_Return)
    assert form.editors[name].text() == "8,9"


def test_an_entry_that_is_left_empty_shows_what_is_derived_whether_it_comes_before_or_after():
    form = SettingsForm(PredictSettings)
    form.set_derived("core", (64, 64))
    type_over(form.editors["core"])
    form.set_derived("core", (96, 96))
    assert form.editors["core"].text() == ""
    QTest.keyClick(form.editors["core"], Qt.Key.Key_Return)
    assert form.editors["core"].text() == "96,96"
    assert form.settings().core is None
    form.set_derived("core", (32, 32))
    assert form.editors["core"].text() == "32,32"
