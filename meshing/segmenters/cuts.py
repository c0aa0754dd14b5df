"""The cheapest cut of a graph of blobs between two sets of them.

In: contacts with a weight each, and how firmly each blob belongs to either side. Out: which blobs are on either side.

References
----------
Boykov Y, Funka-Lea G. Graph cuts and efficient N-D image segmentation. IJCV 2006, doi:10.1007/s11263-006-7934-5;
here the nodes are blobs, some thousands, in place of voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshing.segmenters.blobs import Contacts, Floats

FIRM = 1e6
_UNITS_PER_MM2 = 20.0
_MOST_UNITS = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Cut:
    """Blobs on the source's side and on the sink's side, bool per blob; some may be on neither (a tie)."""

    source: npt.NDArray[np.bool_]
    sink: npt.NDArray[np.bool_]


def cheapest_cut(contacts: Contacts, weight_mm2: Floats, source_mm2: Floats, sink_mm2: Floats) -> Cut:
    """The cut of least total weight.

    Parameters
    ----------
    weight_mm2
        shape (P,): cost of parting the two blobs of a contact.
    source_mm2, sink_mm2
        shape (N + 1,): cost of taking a blob away from that side; `FIRM` where it must not happen.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_flow

    count = len(source_mm2) - 1
    source, sink = 0, count + 1  # blobs keep their numbers 1 … N
    blobs = np.arange(1, count + 1)
    start = np.concatenate([contacts.first, contacts.second, np.full(count, source), blobs])
    end = np.concatenate([contacts.second, contacts.first, blobs, np.full(count, sink)])
    weight = np.concatenate([weight_mm2, weight_mm2, source_mm2[1:], sink_mm2[1:]])
    units = np.minimum(np.rint(weight * _UNITS_PER_MM2), _MOST_UNITS // 4).astype(np.int32)
    graph = csr_matrix((units, (start, end)), shape=(count + 2, count + 2))
    graph.eliminate_zeros()
    rest = graph - maximum_flow(graph, source, sink).flow
    rest.data = np.maximum(rest.data, 0)
    rest.eliminate_zeros()
    return Cut(source=_reached(rest, source)[: count + 1], sink=_reached(rest.T.tocsr(), sink)[: count + 1])


Chosen = npt.NDArray[np.bool_]


def joined(contacts: Contacts, passable: Chosen, starts: Chosen) -> Chosen:
    """The blobs that can be reached from `starts` through passable contacts."""
    group = groups(contacts, passable, len(starts))
    reached: Chosen = np.isin(group, group[starts])
    reached[0] = False
    return reached


def groups(contacts: Contacts, passable: Chosen, size: int) -> npt.NDArray[np.int32]:
    """Per blob, the number of its group: blobs that hang together through passable contacts."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    first, second = contacts.first[passable], contacts.second[passable]
    graph = csr_matrix((np.ones(len(first), np.int8), (first, second)), shape=(size, size))
    group: npt.NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return group


def _reached(graph: object, start: int) -> npt.NDArray[np.bool_]:
    from scipy.sparse.csgraph import breadth_first_order

    order = breadth_first_order(graph, start, directed=True, return_predecessors=False)
    reached = np.zeros(graph.shape[0], np.bool_)  # type: ignore[attr-defined]
    reached[order] = True
    reached[start] = False
    return reached
