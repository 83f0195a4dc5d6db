"""How the engine's code is compiled, and how compiled code reads bytes."""
