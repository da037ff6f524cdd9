"""Pictures of every usual kind are read as the numbers that were put into them, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageFile

from auditor.subject.data.pictures import PICTURES, CorruptImageError, read_picture
from auditor.subject.data.sample import to_model_image

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (8, 12), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (8, 12, 3), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (8, 12), dtype=np.uint8)
DEEP = RANDOM.integers(0, 65536, (8, 12), dtype=np.uint16)
SMOOTH = np.tile(np.arange(0, 240, 20, dtype=np.uint8), (8, 1))

UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}
"""How a picture stored with this EXIF orientation is turned upright: 6 clockwise, 8 against the clock."""


def saved(folder: Path, pixels: Any, name: str = "a.png", **options: Any) -> Path:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(folder / name, **options)
    return folder / name


class TestGrey:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif"])
    def test_eight_bits_are_themselves(self, suffix: str, tmp_path: Path) -> None:
        found = read_picture(saved(tmp_path, GREY, f"a.{suffix}"))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found if found.ndim == 2 else found[..., 0], GREY)

    def test_one_bit_is_black_and_white(self, tmp_path: Path) -> None:
        bits = GREY > 127
        for name in ("a.png", "a.bmp", "a.tiff"):
            np.testing.assert_array_equal(read_picture(saved(tmp_path, bits, name)), 255 * bits.astype(np.uint8))

    def test_sixteen_bits_are_scaled_and_not_cut_off(self, tmp_path: Path) -> None:
        found = read_picture(saved(tmp_path, DEEP))
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, DEEP)
        extremes = np.array([[0, 65535]], np.uint16)
        image = to_model_image(read_picture(saved(tmp_path, extremes)), (1, 2, 1), "exact", "a")
        assert image.ravel().tolist() == [0, 1]

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_a_tiff_of_sixteen_bits_is_read_in_its_own_byte_order(self, order: Any, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", DEEP, byteorder=order)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), DEEP)

    @pytest.mark.parametrize(("pixels", "white"), [(GREY, 255), (DEEP, 65535)])
    def test_a_tiff_whose_white_is_zero_is_white_there(self, pixels: Any, white: int, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
        found = to_model_image(read_picture(tmp_path / "a.tif"), (8, 12, 1), "exact", "a")
        np.testing.assert_allclose(found[..., 0], 1 - pixels / white, atol=1e-6)

    def test_a_tiff_of_twelve_bits_has_its_own_white(self, tmp_path: Path) -> None:
        values = DEEP >> 4
        bits = (values[..., None] >> np.arange(11, -1, -1)) & 1
        packed = np.packbits(bits.astype(np.uint8)).tobytes()
        strip = saved(tmp_path, np.frombuffer(packed, np.uint8)[None], "strip.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(retagged(strip, {256: 12, 257: 8, 258: 12, 278: 8}))
        np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), values / 4095, atol=1e-6)

    @pytest.mark.parametrize("pixels", [GREY.astype(np.int32), GREY.astype(np.float32), DEEP.astype(np.int16)])
    def test_numbers_whose_range_is_unknown_are_refused(self, pixels: Any, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tiff", pixels)
        with pytest.raises(CorruptImageError, match="signed or 32-bit numbers, wanted 8 or 16 bits"):
            read_picture(tmp_path / "a.tiff")


class TestColour:
    @pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
    def test_eight_bits_are_themselves(self, suffix: str, tmp_path: Path) -> None:
        options = {"lossless": True} if suffix == "webp" else {}
        np.testing.assert_array_equal(read_picture(saved(tmp_path, COLOUR, f"a.{suffix}", **options)), COLOUR)

    @pytest.mark.parametrize("channels", [3, 4])
    def test_sixteen_bits_are_right_to_an_eighth_bit(self, channels: int, tmp_path: Path) -> None:
        deep = RANDOM.integers(0, 65536, (8, 12, channels), dtype=np.uint16)
        (tmp_path / "a.png").write_bytes(tf.io.encode_png(deep).numpy())
        alpha = ["unassalpha"] if channels == 4 else []
        for name, order in (("a.tif", "<"), ("b.tif", ">")):
            tifffile.imwrite(tmp_path / name, deep, photometric="rgb", extrasamples=alpha, byteorder=order)
        for name in ("a.png", "a.tif", "b.tif"):
            found = to_model_image(read_picture(tmp_path / name), (8, 12, 3), "exact", "a")
            assert np.abs(found - deep[..., :3] / 65535).max() < 1 / 255

    @pytest.mark.parametrize("subsampling", [0, 2])
    def test_a_jpeg_is_what_tensorflow_reads_but_for_rounding(self, subsampling: int, tmp_path: Path) -> None:
        smooth = np.stack([SMOOTH, SMOOTH[:, ::-1], SMOOTH // 2], axis=-1)
        file = saved(tmp_path, smooth, "a.jpg", quality=95, subsampling=subsampling)
        theirs = tf.io.decode_jpeg(file.read_bytes(), dct_method="INTEGER_ACCURATE").numpy().astype(int)
        assert np.abs(read_picture(file).astype(int) - theirs).max() <= 2

    def test_luma_and_chroma_become_colours(self, tmp_path: Path) -> None:
        tiff = saved(tmp_path, Image.fromarray(COLOUR).convert("YCbCr"), "a.tiff")
        luma = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"), np.float64) - [0, 128, 128]
        expected = luma @ np.array([[1, 1, 1], [0, -0.344136, 1.772], [1.402, -0.714136, 0]])
        np.testing.assert_allclose(read_picture(tiff), np.clip(expected, 0, 255), atol=1.01)

    def test_inks_become_the_light_that_they_leave(self, tmp_path: Path) -> None:
        inks = RANDOM.integers(0, 256, (8, 12, 4), dtype=np.uint8)
        found = read_picture(saved(tmp_path, Image.fromarray(inks, "CMYK"), "a.tiff"))
        np.testing.assert_allclose(found, light(inks), atol=1.01)

    @pytest.mark.parametrize("marked", [True, False])
    def test_the_inks_of_a_jpeg_are_inverted_where_adobes_mark_says_so(self, marked: bool, tmp_path: Path) -> None:
        inks = np.repeat(np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 200, 0, 60]]], np.uint8), 8, axis=0)
        inks = np.repeat(inks, 8, axis=1)
        stored = inks if marked else 255 - inks  # Pillow inverts what it writes, and marks it as Adobe's
        file = saved(tmp_path, Image.fromarray(stored, "CMYK"), "a.jpg", quality=100)
        if not marked:
            file.write_bytes(without_segment(file.read_bytes(), 0xEE))
        found = read_picture(file).astype(int)
        np.testing.assert_allclose(found, light(inks), atol=4)
        assert np.abs(found - tf.io.decode_jpeg(file.read_bytes(), channels=3).numpy()).max() <= 4

    @pytest.mark.parametrize(
        ("name", "transparency"),
        [("a.png", None), ("a.png", 1), ("a.png", bytes([255, 128])), ("a.gif", None), ("a.gif", 1)],
    )
    def test_a_palette_becomes_its_colours(self, name: str, transparency: Any, tmp_path: Path) -> None:
        options = {} if transparency is None else {"transparency": transparency}
        picture = with_palette([10, 20, 30], [200, 100, 50])
        found = read_picture(saved(tmp_path, picture, name, **options))
        assert found[0, :2].tolist() == [[10, 20, 30], [200, 100, 50]]


class TestTransparency:
    """It is dropped, never composited, as TensorFlow and Keras do it."""

    layered = np.dstack([COLOUR, ALPHA])

    @pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
    def test_colours_under_it_are_kept(self, suffix: str, tmp_path: Path) -> None:
        options = {"lossless": True, "exact": True} if suffix == "webp" else {}
        np.testing.assert_array_equal(read_picture(saved(tmp_path, self.layered, f"a.{suffix}", **options)), COLOUR)

    def test_grey_under_it_is_kept(self, tmp_path: Path) -> None:
        file = saved(tmp_path, Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA))))
        np.testing.assert_array_equal(read_picture(file), GREY)

    def test_a_colour_that_is_called_transparent_is_that_colour(self, tmp_path: Path) -> None:
        np.testing.assert_array_equal(read_picture(saved(tmp_path, GREY, transparency=int(GREY[0, 0]))), GREY)
        first = tuple(int(value) for value in COLOUR[0, 0])
        np.testing.assert_array_equal(read_picture(saved(tmp_path, COLOUR, transparency=first)), COLOUR)

    def test_tensorflow_and_keras_read_the_same(self, tmp_path: Path) -> None:
        import keras

        file = saved(tmp_path, self.layered)
        found = read_picture(file)
        np.testing.assert_array_equal(found, tf.io.decode_image(file.read_bytes(), channels=3))
        np.testing.assert_array_equal(found, keras.utils.img_to_array(keras.utils.load_img(file)))


class TestFiles:
    @pytest.mark.parametrize("orientation", sorted(UPRIGHT))
    def test_a_photograph_is_turned_upright(self, orientation: int, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        expected = UPRIGHT[orientation](COLOUR)
        for name in ("a.png", "a.tiff"):
            np.testing.assert_array_equal(read_picture(saved(tmp_path, COLOUR, name, exif=exif)), expected)
        np.testing.assert_array_equal(
            read_picture(saved(tmp_path, DEEP, "b.png", exif=exif)), UPRIGHT[orientation](DEEP)
        )
        plain, turned = (
            saved(tmp_path, SMOOTH, f"{n}.jpg", **o) for n, o in (("plain", {}), ("turned", {"exif": exif}))
        )
        np.testing.assert_array_equal(read_picture(turned), UPRIGHT[orientation](read_picture(plain)))

    @pytest.mark.parametrize(("name", "options"), [("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True})])
    def test_of_an_animation_the_first_picture_is_read(self, name: str, options: Any, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
        file = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
        assert read_picture(file).reshape(-1, 3).tolist() == [[255, 0, 0]] * 24

    def test_of_several_pages_the_first_is_read(self, tmp_path: Path) -> None:
        pages = [Image.fromarray(GREY), Image.new("L", (12, 8))]
        file = saved(tmp_path, pages[0], "a.tif", save_all=True, append_images=pages[1:])
        np.testing.assert_array_equal(read_picture(file), GREY)

    def test_the_content_tells_the_kind_and_not_the_name(self, tmp_path: Path) -> None:
        file = saved(tmp_path, COLOUR)
        for name in ("A.PNG", "a.jpeg", "picture", "a b é.Png"):
            np.testing.assert_array_equal(read_picture(file.rename(tmp_path / name)), COLOUR)
            file = tmp_path / name

    def test_a_missing_file_is_called_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptImageError, match=r"^no such file$"):
            read_picture(tmp_path / "a.png")

    @pytest.mark.parametrize("lenient", [False, True])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
    @pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
    def test_a_truncated_file_is_corrupt_whatever_its_kind_and_whatever_another_library_told_pillow(
        self, suffix: str, share: float, lenient: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
        file = saved(tmp_path, RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8), f"a.{suffix}")
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
        with pytest.raises(CorruptImageError, match="not a readable picture"):
            read_picture(file)
        assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES

    def test_garbled_files_are_read_or_corrupt_and_never_anything_else(self, tmp_path: Path) -> None:
        random = np.random.default_rng(1)
        for suffix in sorted(PICTURES):
            file = saved(tmp_path, COLOUR, f"a{suffix}")
            sound = file.read_bytes()
            for _ in range(40):
                content = bytearray(sound)
                for at in random.integers(0, len(content), 5):
                    content[at] = random.integers(256)
                file.write_bytes(content)
                try:
                    assert read_picture(file).ndim in (2, 3)
                except CorruptImageError:
                    continue


def light(inks: Any) -> Any:
    """What cyan, magenta, yellow and black of [0, 255] leave of white."""
    share = 1 - inks / 255
    return 255 * share[..., :3] * share[..., 3:]


def with_palette(*colours: list[int]) -> Image.Image:
    picture = Image.new("P", (4, 4))
    picture.putpalette([value for colour in colours for value in colour])
    picture.putpixel((1, 0), 1)
    return picture


def without_segment(jpeg: bytes, marker: int) -> bytes:
    """A JPEG without one of its segments."""
    start = jpeg.index(bytes([0xFF, marker]))
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def retagged(tiff: bytes, values: dict[int, int]) -> bytes:
    """A little-endian TIFF in which these tags, of one short or long number each, have other values."""
    content = bytearray(tiff)
    directory = int.from_bytes(content[4:8], "little")
    for entry in range(int.from_bytes(content[directory : directory + 2], "little")):
        at = directory + 2 + 12 * entry
        tag = int.from_bytes(content[at : at + 2], "little")
        if tag in values:
            content[at + 8 : at + 12] = values[tag].to_bytes(4, "little")
    return bytes(content)
