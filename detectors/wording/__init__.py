"""Numbers, conditions and alerts as sentences, in Chinese and English.

An alert's sentence is made from what the alert itself carries (state, evidence, loans) and from the rules that raised
it. So the Chinese text that a bank receives and the text of pages and commands cannot differ. Nothing here is compiled,
and nothing here imports numba.
"""
