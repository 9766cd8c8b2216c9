"""Pure rules, without I/O and without a clock: what is stored, what may be, what a write means.

``codec`` joins JSON text and objects; ``records`` are what back ends keep; ``operations`` are the
writes that reach them, ``decisions`` what each does; ``queries`` are what can be asked;
``checkpoints`` and ``expiration`` are what can be gone back to, and when a session ends.
"""
