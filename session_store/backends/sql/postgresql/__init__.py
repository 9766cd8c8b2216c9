"""What is peculiar to PostgreSQL: its connections, its errors, and how it is opened (``store``)."""
