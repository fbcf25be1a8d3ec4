import threading

from hypothesis import given
from hypothesis import strategies as st

from napari_tileseg.prediction.order.tile_order import TileOrder
from napari_tileseg.tiling import Box, TileGrid

GRID = TileGrid((20, 24), (4, 4), ((2, 2), (2, 2)), (2, 2))
places = st.tuples(st.integers(0, 4), st.integers(0, 5))


@given(st.lists(st.one_of(places, st.integers(1, 5)), max_size=20))
def test_every_tile_comes_once_whatever_happens(actions):
    order, taken = TileOrder(GRID), []
    for action in actions:
        if isinstance(action, int):
            taken += order.pop(action)
        else:
            order.prioritize([action])
    taken += order.pop(10**6)
    assert sorted(tile.index for tile in taken) == [tile.index for tile in GRID]
    assert order.remaining == 0
    assert order.pop() == []


def test_tiles_in_view_come_first_from_its_centre():
    order = TileOrder(GRID)
    order.prioritize(Box((8, 8), (20, 20)))
    first = [tile.index for tile in order.pop(9)]
    assert first[0] == (3, 3)
    assert set(first) == {(z, y) for z in (2, 3, 4) for y in (2, 3, 4)}
    assert order.pop()[0].index == (0, 0)


def test_tiles_that_were_put_first_are_out_of_turn():
    order = TileOrder(GRID)
    order.prioritize([(3, 3)])
    assert [order.in_turn(order.pop()[0].index) for _ in range(3)] == [False, True, True]


def test_marked_tiles_do_not_come():
    order = TileOrder(GRID)
    order.mark([(0, 0), (0, 2)])
    assert [tile.index for tile in order.pop(2)] == [(0, 1), (0, 3)]


def test_threads_share_an_order():
    order, taken = TileOrder(GRID), []

    def take():
        while tiles := order.pop():
            order.prioritize(Box((0, 0), (20, 24)))
            taken.extend(tiles)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tile.index for tile in taken) == [tile.index for tile in GRID]
