"""From files to the landing zone: strict reading, delivery with a manifest, and sample data.

A delivery is all files below ``landing/<source>/dt=YYYY-MM-DD/``; it exists from the moment its manifest
does.
"""
