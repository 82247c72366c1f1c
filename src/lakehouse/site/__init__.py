"""One static site about a stack: is the data good, what is there, where does it come from, what does it say.

It reads contracts, SQL, documents and, as the analyst, the warehouse. It needs no server, and asks none: all its links
are relative. Nothing depends on it: a page that cannot be built stays as it was.
"""
