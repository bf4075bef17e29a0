"""Views: recipes as data, the parameters sampled for each image, and the pixels made from them.

`recipe` is data only; `params`, `sampling`, `apply`, `kernels/` (CPU) and `gpu/` use it, and
`views` joins them in one class. Imports core; no other folder that holds data, models or scores.
"""

from jessl.views import presets as presets
from jessl.views.center_crop import central_view as central_view
from jessl.views.recipe import View as View
from jessl.views.views import Views as Views

__all__ = ["View", "Views", "central_view", "presets"]
