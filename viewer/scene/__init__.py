"""What is shown: a case and a reader's choices become one frozen `Scene`, for picture, window and headset alike."""

from viewer.scene.nouns import Choices, Overlay, Region, Scene, SceneSlice, SceneSurface, Sheet
from viewer.scene.parts import keys_of
from viewer.scene.resolve import resolve

__all__ = ["Choices", "Overlay", "Region", "Scene", "SceneSlice", "SceneSurface", "Sheet", "keys_of", "resolve"]
