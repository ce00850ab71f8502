"""Pages through a made-up tomogram of 16 bits: arrow keys or the wheel; every value reaches the viewer."""

import matplotlib.pyplot as plt
import numpy as np

import beamdesk.matplotlib

rng = np.random.default_rng(1)
z, y, x = np.mgrid[0:40, 0:512, 0:512].astype(np.float32)
volume = np.full(z.shape, 9000, np.float32)
for _ in range(60):
    cz, cy, cx, radius = rng.uniform((0, 60, 60, 12), (40, 452, 452, 50))
    inside = (3 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    volume[inside] = rng.uniform(15000, 30000)
volume = (volume + rng.normal(0, 400, volume.shape)).clip(0, 65535).astype(np.uint16)

figure, axes = plt.subplots(figsize=(7, 7))
image = axes.imshow(volume[0], cmap="gray", vmin=6000, vmax=32000, interpolation="nearest")
at = 0


def page(step: int) -> None:
    global at
    at = min(len(volume) - 1, max(0, at + step))
    image.set_data(volume[at])
    axes.set_title(f"slice {at + 1} of {len(volume)}")
    figure.canvas.draw_idle()


figure.canvas.mpl_connect("scroll_event", lambda event: page(int(-event.step)))
figure.canvas.mpl_connect(
    "key_press_event",
    lambda event: page({"right": 1, "down": 1, "left": -1, "up": -1}.get(event.key, 0)),
)
page(0)
beamdesk.matplotlib.follow(image)
plt.show()
