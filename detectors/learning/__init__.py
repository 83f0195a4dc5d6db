"""How the score learns: observations get labels, labels become models, and models are measured."""
