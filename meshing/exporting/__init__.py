"""Doors out: a case becomes a model that other programs and headsets read.

Read `write.export` first: it picks the format by suffix. In comes a `Case` in LPS mm; out comes

- `.glb`: metres, +Y up, the patient's front to +Z, recentred, named and coloured (`gltf`), and held against the case
  by reading it back (`verify`) before it takes its place;
- `.stl`, `.ply`, `.obj`: LPS mm (`meshfiles`), read back too.

Annotations (`annotations`) are typed and named; this room knows nothing of the tools that plan with them.
Every file says that it is for planning practice and teaching; none holds anything of the patient but anatomy.
"""
