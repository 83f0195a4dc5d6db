"""Pages over the archive and over the topics as they are at this moment."""
