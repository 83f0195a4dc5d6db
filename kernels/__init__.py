"""How the engine's code is compiled, and what compiled code reads bytes with."""
