"""What people look at: pages of what the archive holds and of what the topics say at this moment."""
