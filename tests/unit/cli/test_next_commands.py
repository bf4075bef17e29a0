"""The commands that come next read the images as the command before did."""

from jessl.cli._inputs import data_options


def test_options_of_reading_are_repeated() -> None:
    assert data_options("digits", None, None, None) == "--data digits"
    assert data_options("my tiles", "x", None, (0, 9000.5)) == (
        "--data 'my tiles' --x-key x --range 0 9000.5"
    )
    assert data_options("a.npy", None, 12, None) == "--data a.npy --bits 12"
