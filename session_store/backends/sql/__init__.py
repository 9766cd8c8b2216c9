"""Sessions in SQL: one repository over plain statements, a small dialect for each database.

``tables`` is the truth of the schema, which ``migrations`` build and ``schema`` brings up to date;
``statements`` is what the ``repository`` sends through its one ``runner``. Opening a current store
imports neither ``tables`` nor Alembic: the ORM alone makes that 1.6 times as long as SQLAlchemy's
core by hand, where we take 1.3.
"""
