"""What the workloads work on: test pictures, the video and its cuts, the networks as published."""

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.workloads.common import pictures
from cluster.workloads.common.networks import Network
from cluster.workloads.isr.graph import DenseShape, make_rdn, read_shape
from cluster.workloads.mms.graph import ResNetShape, make_resnet
from cluster.workloads.scenedetect.detect import find_cuts, to_hsv
from cluster.workloads.scenedetect.video import VideoShape, make_video, read_frames

# -- pictures and video -------------------------------------------------------------------------


def test_pictures_are_the_same_wherever_they_are_made():
    names = pictures.names()
    assert len(set(names)) == 16
    assert pictures.make_picture("isr-0") == pictures.make_picture("isr-0") != pictures.make_picture("isr-1")
    width, height, pixels = pictures.read_ppm(pictures.make_picture("mms-0"))
    assert (width, height, len(pixels)) == (256, 256, 256 * 256 * 3)
    assert len(set(pixels)) > 50  # a picture, not a colour
    for damaged in (b"P5\n1 1\n255\nx", pictures.make_picture("isr-0")[:-1]):
        with pytest.raises(ValueError, match="PPM"):
            pictures.read_ppm(damaged)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(48, 120))
def test_the_cuts_of_a_video_are_found(seed, frames):
    video, cuts = make_video(VideoShape(frames, 48, 27), seed)
    assert cuts
    assert find_cuts(read_frames(video)) == cuts


def test_a_scene_without_cuts_has_none():
    video, cuts = make_video(VideoShape(48, 48, 27))
    frames = list(read_frames(video))
    assert find_cuts(frames[: cuts[0]]) == []
    flash = [*frames[:5], np.full_like(frames[0], 255), *frames[5 : cuts[0]]]
    assert find_cuts(flash) == []  # a flash within the shortest scene is no cut


def test_hue_saturation_value_agree_with_the_standard_library():
    frame = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    frame[0, 0], frame[0, 1], frame[0, 2] = 0, 255, (7, 7, 9)
    hsv = to_hsv(frame)
    for row, column in np.ndindex(6, 6):
        hue, saturation, value = colorsys.rgb_to_hsv(*(frame[row, column] / 255.0))
        np.testing.assert_allclose(hsv[row, column], [hue * 180, saturation * 255, value * 255], atol=1e-2)


# -- networks -----------------------------------------------------------------------------------


def test_resnet_152_is_as_published():
    model, parameters = make_resnet(ResNetShape())
    assert parameters == 60_192_808
    network = Network(model)
    assert network.shape == (1, 3, 224, 224)
    logits = network.run(np.random.default_rng(0).random((1, 3, 224, 224), dtype=np.float32))
    assert logits.shape == (1, 1000)
    assert np.isfinite(logits).all()
    assert logits.std() > 0.01


def test_resnet_50_has_as_many_parameters_as_it_should():
    assert make_resnet(ResNetShape(blocks=(3, 4, 6, 3)))[1] == 25_557_032


def test_the_residual_dense_network_is_as_published():
    model, parameters = make_rdn(DenseShape())
    assert parameters == 22_123_395  # D=16, C=8, G=64, twofold
    assert Network(model).shape == (1, 3, 100, 100)


def test_the_residual_dense_network_doubles_the_side():
    model, _ = make_rdn(read_shape("2x3x16").scaled(1))
    x = np.random.default_rng(0).random((1, 3, 100, 100), dtype=np.float32)
    network = Network(model)
    assert network.run(x).shape == (1, 3, 200, 200)
    other = x.copy()
    other[0, :, 90:, 90:] += 1
    changed = np.abs(network.run(other) - network.run(x))[0].max(axis=0)
    assert changed[180:, 180:].min() > 0  # what changes in a corner
    assert changed[:60, :60].max() == 0  # stays near it: convolutions only
    with pytest.raises(SystemExit, match="RDN '16x8': give blocks"):
        read_shape("16x8")


def test_the_same_seed_gives_the_same_weights():
    shape = ResNetShape.scaled(0.01)
    assert make_resnet(shape)[0] == make_resnet(shape)[0] != make_resnet(shape, seed=1)[0]


@given(st.floats(0.0001, 1), st.floats(0.0001, 1))
def test_a_smaller_scale_never_asks_for_more(one, other):
    low, high = sorted([one, other])
    for small, large in (
        (ResNetShape.scaled(low), ResNetShape.scaled(high)),
        (DenseShape().scaled(low), DenseShape().scaled(high)),
        (VideoShape.scaled(low), VideoShape.scaled(high)),
    ):
        for name, value in vars(small).items():
            assert value <= getattr(large, name)
    assert ResNetShape.scaled(1) == ResNetShape.scaled(3) == ResNetShape()
    assert DenseShape().scaled(1) == DenseShape()
    assert VideoShape.scaled(1) == VideoShape()
