"""What an encoder sees: k random views of an image, as recipes, parameters and pixels."""

from jessl.views import presets as presets
from jessl.views.center_crop import central_view as central_view
from jessl.views.recipe import View as View
from jessl.views.recipe import Views as Views

__all__ = ["View", "Views", "central_view", "presets"]
