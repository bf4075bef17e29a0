"""Maps of embeddings: two coordinates an image, colours, thumbnails.

May import core. Nothing here needs torch, and nothing opens images or files of images.
"""

# the file of a run, a study or a comparison that holds its map
MAP_FILE = "map.json"
