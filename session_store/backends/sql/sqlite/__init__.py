"""What is peculiar to SQLite: its file, its errors, and how it is opened (``store``)."""
