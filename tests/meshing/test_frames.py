"""Frames: right-handed or refused, composed only where they meet, a bijection to glTF."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshing.errors import GeometryError
from meshing.frames import GLTF, PATIENT, RAS, Frame, Transform, between, patient_to_gltf


def test_left_handed_frame_is_refused() -> None:
    with pytest.raises(GeometryError, match="determinant -1"):
        Frame("mirrored", "RPS", 1.0)


def test_repeated_axis_is_refused() -> None:
    with pytest.raises(GeometryError, match="determinant 0"):
        Frame("flat", "LLS", 1.0)


def test_patient_to_gltf_follows_the_closed_form() -> None:
    l, p, s = 12.0, -34.0, 56.0
    assert patient_to_gltf((0, 0, 0))((l, p, s)) == pytest.approx([l / 1000, s / 1000, -p / 1000], abs=1e-15)


def test_ras_differs_from_lps_by_two_signs() -> None:
    assert between(RAS, PATIENT)((1.0, 2.0, 3.0)) == pytest.approx([-1.0, -2.0, 3.0])


def test_frames_that_do_not_meet_are_refused() -> None:
    with pytest.raises(GeometryError, match="followed by"):
        between(PATIENT, RAS) @ between(PATIENT, GLTF)


@given(st.tuples(*[st.floats(-1e3, 1e3)] * 3), st.tuples(*[st.floats(-1e3, 1e3)] * 3))
def test_gltf_keeps_volume_sign_and_returns(centre: tuple[float, ...], point: tuple[float, ...]) -> None:
    forth = patient_to_gltf(centre)
    assert np.linalg.det(forth.matrix[:3, :3]) == pytest.approx(1e-9)
    assert forth.inverse()(forth(point)) == pytest.approx(point, abs=1e-9)
    assert (forth.inverse() @ forth).matrix == pytest.approx(np.eye(4), abs=1e-9)


def test_transform_refuses_nan() -> None:
    with pytest.raises(GeometryError, match="finite"):
        Transform(np.full((4, 4), np.nan), PATIENT, PATIENT)
