"""Opens a made-up tomogram of 16 bits in napari; the slice on show reaches the viewer with every value."""

import napari
import numpy as np

import beamdesk.napari

rng = np.random.default_rng(1)
volume = rng.normal(9000, 400, (40, 512, 512))
z, y, x = np.mgrid[0:40, 0:512, 0:512].astype(np.float32)
for _ in range(60):
    cz, cy, cx, radius = rng.uniform((0, 60, 60, 12), (40, 452, 452, 50))
    volume[(3 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2] += 12000

viewer = napari.Viewer()
layer = viewer.add_image(volume.clip(0, 65535).astype(np.uint16), interpolation2d="nearest")
follower = beamdesk.napari.follow(viewer, layer)
napari.run()
follower.close()
