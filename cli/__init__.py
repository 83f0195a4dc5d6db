"""The command xinliu, a file a verb."""
