"""A report of many images' scores as one file of HTML that needs no network."""
