"""Which images to label first: one file a method; `METHODS` names them."""
