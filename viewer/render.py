"""A `Scene` becomes a picture: surfaces through PyVista off the screen, the page around them by `viewer.compose`.

The only room that gives meshes to a plotter. Opaque structures come first with ambient shadows; translucent ones follow
as one mesh, sorted from back to front, faint where they face the reader and clear at their rims.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from meshing.atomic import replace_file
from meshing.errors import RenderError
from meshing.frames import FloatArray
from meshing.surface import vertex_normals
from viewer.compose import Pixels, page
from viewer.layout import panels
from viewer.scene import Scene, SceneSurface, Sheet
from viewer.viewpoint import VIEW_ANGLE_DEG, Camera

OPAQUE = 0.995
_SUPERSAMPLING = 2
_NORMAL_PASSES = 2
_BACKGROUND = (0.105, 0.12, 0.145)  # sRGB
_HOLLOW = 0.08  # reach of ambient shadows, in half heights of the picture
_MATERIAL: dict[str, Any] = {
    "smooth_shading": True,
    "split_sharp_edges": False,
    "ambient": 0.23,
    "diffuse": 0.88,
    "specular": 0.22,
    "specular_power": 24.0,
    "show_scalar_bar": False,
}
_LIGHTS = (  # position in camera axes (rightwards, upwards, towards the viewer), strength
    ((-0.55, 0.75, 0.9), 0.92),  # key, over the reader's left shoulder
    ((0.9, 0.1, 0.7), 0.38),  # fill
    ((0.2, 0.7, -0.9), 0.4),  # rim, from behind
)


def picture(scene: Scene, size: tuple[int, int] | None = None) -> Pixels:
    """The scene as an image, uint8 (H, W, 3).

    Parameters
    ----------
    size
        Width and height; must be those that the scene was resolved for, or None.

    Raises
    ------
    RenderError
        If another size is asked for.
    """
    if size is not None and tuple(size) != scene.size:
        raise RenderError(f"the scene was resolved for {scene.size}, not {size}", hint="resolve it again for that size")
    box = panels(scene.layout, scene.size).get("3d")
    view_3d = draw_surfaces(scene, (box.width, box.height)) if box else None
    return np.asarray(page(scene, view_3d))


def save_png(path: Path, pixels: Pixels) -> None:
    """Write an image, uint8 (H, W, 3), whole or not at all.

    Raises
    ------
    RenderError
        If the disk is full or the place cannot be written.
    """
    from PIL import Image

    with replace_file(Path(path), RenderError) as file:
        Image.fromarray(pixels).save(file, format="PNG", optimize=False, compress_level=6)


def draw_surfaces(scene: Scene, size: tuple[int, int]) -> Pixels:
    """The 3D panel alone, uint8 (height, width, 3)."""
    from PIL import Image

    width, height = size
    plotter = _plotter((width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    try:
        add_surfaces(plotter, scene)
        aim(plotter, scene.camera)
        image = plotter.screenshot(return_img=True)
    finally:
        plotter.close()
    return np.asarray(Image.fromarray(image).reduce(_SUPERSAMPLING))


def draw_field(surface: SceneSurface, rgb: npt.NDArray[np.uint8], camera: Camera, size: tuple[int, int]) -> Pixels:
    """One opaque surface with a colour (V, 3) at every vertex, uint8 (height, width, 3)."""
    from PIL import Image

    width, height = size
    plotter = _plotter((width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    try:
        mesh = _mesh(surface)
        mesh.point_data["rgb"] = rgb
        plotter.add_mesh(mesh, scalars="rgb", rgb=True, name=surface.key, **_MATERIAL)
        _shade_hollows(plotter, camera)
        aim(plotter, camera)
        image = plotter.screenshot(return_img=True)
    finally:
        plotter.close()
    return np.asarray(Image.fromarray(image).reduce(_SUPERSAMPLING))


def _plotter(size: tuple[int, int]) -> Any:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        # Without a display VTK would first try X and complain on stderr.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    os.environ.setdefault("ALLOW_PLOTTING", "true")  # PyVista would ask X, and then open a window to find out
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=list(size), lighting=None, theme=pyvista.themes.Theme())
    plotter.set_background(_BACKGROUND)
    for position, strength in _LIGHTS:
        light = pyvista.Light(position=position, focal_point=(0, 0, 0), light_type="camera light", intensity=strength)
        plotter.add_light(light)
    return plotter


def add_surfaces(plotter: Any, scene: Scene) -> None:
    """Give the scene's surfaces to a plotter: opaque ones each by its key, translucent ones as one sorted mesh."""
    for surface in scene.surfaces:
        if surface.opacity >= OPAQUE:
            paint: dict[str, Any] = {"color": surface.colour}
            if surface.colours is not None:
                paint = {"scalars": "rgb", "rgb": True}
            plotter.add_mesh(_mesh(surface), name=surface.key, **paint, **_MATERIAL)
    for sheet in scene.sheets:
        plotter.add_mesh(_sheet_mesh(sheet), scalars="rgb", rgb=True, name=f"sheet {sheet.plane}", lighting=False)
    translucent = [surface for surface in scene.surfaces if surface.opacity < OPAQUE]
    if translucent:
        mesh = _sorted_mesh(translucent, np.array(scene.camera.position_mm))
        actor = plotter.add_mesh(mesh, scalars="rgba", rgba=True, name="translucent", culling="back", **_MATERIAL)
        _fade_facing(actor, scene.camera)
        # VTK's own default blends translucent surfaces without regard to their order: near and far weigh the same.
        plotter.renderer.SetUseOIT(False)
    _shade_hollows(plotter, scene.camera)


def aim(plotter: Any, camera: Camera) -> None:
    """Look from a camera."""
    plotter.camera.position = camera.position_mm
    plotter.camera.focal_point = camera.focal_mm
    plotter.camera.up = camera.up
    plotter.camera.view_angle = VIEW_ANGLE_DEG
    plotter.camera.parallel_scale = camera.half_height_mm
    plotter.camera.parallel_projection = camera.projection == "parallel"
    plotter.renderer.ResetCameraClippingRange()


def _mesh(surface: SceneSurface) -> Any:
    import pyvista

    mesh = pyvista.PolyData.from_regular_faces(np.asarray(surface.vertices, dtype=np.float32), surface.faces)
    mesh.point_data.active_normals = shading_normals(surface)
    if surface.colours is not None:
        mesh.point_data["rgb"] = np.rint(255 * surface.colours).astype(np.uint8)
    return mesh


def _sheet_mesh(sheet: Sheet) -> Any:
    import pyvista

    mesh = pyvista.PolyData.from_regular_faces(sheet.vertices.astype(np.float32), sheet.faces)
    mesh.point_data["rgb"] = np.repeat(sheet.greys[:, None], 3, axis=1)
    return mesh


def shading_normals(surface: SceneSurface) -> npt.NDArray[np.float32]:
    """Unit normals (V, 3) for light, averaged over two rings of neighbours: voxel steps fade, no vertex moves."""
    normals, _ = vertex_normals(surface.vertices, surface.faces)
    corners = surface.faces.ravel()
    for _ in range(_NORMAL_PASSES):
        of_face = normals[surface.faces].sum(axis=1)
        for axis in range(3):
            normals[:, axis] = np.bincount(corners, weights=np.repeat(of_face[:, axis], 3), minlength=len(normals))
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return normals.astype(np.float32)


def _sorted_mesh(surfaces: Sequence[SceneSurface], eye_mm: FloatArray) -> Any:
    """All surfaces as one, its triangles from the farthest to the nearest, each vertex with its own RGBA.

    Blending in this order is right wherever triangles are small against their distances, which anatomy's are; it
    costs one pass where depth peeling takes several.
    """
    import pyvista

    vertices = np.concatenate([np.asarray(surface.vertices, dtype=np.float32) for surface in surfaces])
    starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
    faces = np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=False)])
    distance = np.linalg.norm(vertices[faces].mean(axis=1) - eye_mm, axis=1)
    mesh = pyvista.PolyData.from_regular_faces(vertices, faces[np.argsort(-distance, kind="stable")])
    mesh.point_data.active_normals = np.concatenate([shading_normals(surface) for surface in surfaces])
    rgba = [np.rint(255 * np.array([*surface.colour, surface.opacity])) for surface in surfaces]
    counts = [len(surface.vertices) for surface in surfaces]
    mesh.point_data["rgba"] = np.repeat(np.array(rgba, dtype=np.uint8), counts, axis=0)
    return mesh


def _fade_facing(actor: Any, camera: Camera) -> None:
    """Make a translucent surface fainter where it faces the eye and denser at its rim, as glass looks."""
    towards_eye = "vec3(0.0, 0.0, 1.0)" if camera.projection == "parallel" else "normalize(-vertexVC.xyz)"
    glass = f"""//VTK::Light::Impl
      float rim = 1.0 - abs(dot(normalize(normalVCVSOutput), {towards_eye}));
      fragOutput0.a = clamp(fragOutput0.a * (0.75 + 2.0 * rim * rim), 0.0, 0.97);
    """
    actor.GetShaderProperty().AddFragmentShaderReplacement("//VTK::Light::Impl", True, glass, False)


def _shade_hollows(plotter: Any, camera: Camera) -> None:
    """Darken where neighbouring surfaces keep light away (ambient occlusion in the picture's plane)."""
    renderer = plotter.renderer
    renderer.SetUseSSAO(True)
    renderer.SetSSAORadius(_HOLLOW * camera.half_height_mm)
    renderer.SetSSAOBias(0.03 * _HOLLOW * camera.half_height_mm)
    renderer.SetSSAOKernelSize(48)
    renderer.SetSSAOBlur(True)


def probe() -> bool:
    """Whether a test picture of a white ball shows it; run it in a child process, it may crash."""
    import pyvista

    plotter = _plotter((32, 32))
    try:
        plotter.add_mesh(pyvista.Sphere(radius=1.0), color="white", lighting=False)
        plotter.reset_camera()
        image = plotter.screenshot(return_img=True)
    finally:
        plotter.close()
    return bool(image[16, 16].min() > 200)
