"""House 1, headless: a scan becomes a case. Read `meshing.build` first; it is the flow in one page."""
