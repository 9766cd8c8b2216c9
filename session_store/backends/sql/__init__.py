"""Sessions in SQL: one repository over plain statements, a small dialect for each database.

``tables`` is the truth of the schema, which ``migrations`` build and ``schema`` brings up to date;
``statements`` is what the ``repository`` sends through its one ``runner``. Opening a current SQLite
store imports neither SQLAlchemy nor Alembic (``pool`` says why).
"""
