"""What a person should know of what was grown, with the numbers: leaks, necks, odd volumes, cut edges."""

from __future__ import annotations

from collections.abc import Iterator

from meshing.organs.ground import Ground
from meshing.organs.priors import Prior
from meshing.organs.votes import Vote
from meshing.terminology import Side, structure_for
from meshing.volume import Fact
from meshing.voxels.upright import Mask, Upright

_OPEN = 0.3  # of the border without an edge: more is worth a look
_APART = 0.25  # the guesses' volumes differ by more of the volume: they do not agree


def notes_on(
    kind: str,
    volume_ml: float,
    mask: Mask,
    scan: Upright,
    ground: Ground,
    made: tuple[Vote, Prior, Side],
) -> tuple[Fact, ...]:
    """The facts of a result; the first says how it was made, the others what to look at."""
    ballot, prior, side = made
    name = structure_for(kind).name.lower()
    notes = [_how(kind, name, volume_ml, ballot)]
    notes += _on_volume(kind, name, volume_ml, prior)
    notes += _on_border(kind, name, volume_ml, ballot)
    notes += _on_edges(kind, name, mask, scan, ground)
    wanted = structure_for(kind).side
    if wanted and side != wanted:
        text = f"{name}: the click lies on the patient's {side} side"
        notes.append(Fact("side", text, {"key": kind, "side": side}))
    return tuple(notes)


def _how(kind: str, name: str, volume: float, ballot: Vote) -> Fact:
    low, high = min(ballot.volumes_ml[0], volume), max(ballot.volumes_ml[1], volume)
    best = ballot.best
    text = (
        f"{name}: {volume:.1f} ml grown from clicks, guesses from {low:.1f} to {high:.1f} ml; "
        f"values {best.value_hu:.0f} ± {best.tolerance_hu:.0f} HU, necks under {2 * best.neck_mm:.0f} mm are cut"
    )
    values = {
        "key": kind,
        "volume_ml": volume,
        "low_ml": low,
        "high_ml": high,
        "value_hu": best.value_hu,
        "tolerance_hu": best.tolerance_hu,
        "neck_mm": best.neck_mm,
    }
    return Fact("grown", text, values)


def _on_volume(kind: str, name: str, volume: float, prior: Prior) -> Iterator[Fact]:
    least, most = prior.plausible_ml
    if not least <= volume <= most:
        trouble = "it may have leaked" if volume > most else "part may be missing"
        text = f"{name}: {volume:.1f} ml, usual are {least:g} to {most:g} ml; {trouble}"
        yield Fact("leak" if volume > most else "small", text, {"key": kind, "volume_ml": volume})


def _on_border(kind: str, name: str, volume: float, ballot: Vote) -> Iterator[Fact]:
    if ballot.open_border > _OPEN:
        text = f"{name}: {100 * ballot.open_border:.0f} % of the border lies where values do not change; look at it"
        yield Fact("leak", text, {"key": kind, "open_border": ballot.open_border})
    low, high = min(ballot.volumes_ml[0], volume), max(ballot.volumes_ml[1], volume)
    if high - low > _APART * volume:
        text = f"{name}: the guesses differ, {low:.1f} to {high:.1f} ml; one more click inside or outside decides"
        yield Fact("unsure", text, {"key": kind, "low_ml": low, "high_ml": high})


def _on_edges(kind: str, name: str, mask: Mask, scan: Upright, ground: Ground) -> Iterator[Fact]:
    """Where the field of view or the reach cuts it."""
    cut = 0
    for axis, (span, count) in enumerate(zip(ground.box, scan.voxels.shape, strict=True)):
        cut += int(span.start == 0 and mask.take(0, axis).any())
        cut += int(span.stop == count and mask.take(-1, axis).any())
    if cut:
        text = f"{name}: cut by {cut} side{'s' if cut > 1 else ''} of the scan, so its volume is a lower bound"
        yield Fact("cut", text, {"key": kind, "sides": cut})
