"""One structure of the state a file: its fields, how an event is added, and the law that it keeps."""
