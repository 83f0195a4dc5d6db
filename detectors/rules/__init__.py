"""Rules as data: a signal's conditions, parsed (grammar), compiled to postfix arrays (program), run by a small stack
machine inside the loop (machine). Another rules artefact is other arrays of the same types: a switch compiles nothing.
"""
