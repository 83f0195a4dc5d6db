"""Generate the documents that follow from tables and types: `make docs`. Prose stands in the templates beside it."""
