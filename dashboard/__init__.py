"""Pages over the archive and over the newest records of the topics."""
