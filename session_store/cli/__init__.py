"""The ways in from outside: they know the service, and nothing in the package knows them."""
