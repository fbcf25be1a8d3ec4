"""The list of networks: what is called alike in every package has the package's name before it."""

import pytest

from napari_tileseg._qt.predict.network_picker import NetworkPicker


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/a/spleen/configs/metadata.json", "spleen/configs/metadata.json"),
        ("/a/spleen/configs/inference.yaml", "spleen/configs/inference.yaml"),
        ("/a/nuclei/rdf.yaml", "nuclei/rdf.yaml"),
        ("/a/nuclei.zip", "nuclei.zip"),
    ],
)
def test_a_package_is_told_from_others_by_its_name(qtbot, path, title):
    picker = NetworkPicker()
    qtbot.addWidget(picker)
    picker.show_choice(path)
    assert picker.list.currentText() == title
