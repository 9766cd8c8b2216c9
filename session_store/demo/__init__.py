"""``session-store demo``: the store at work on real conversations, with each claim checked.

Read ``story`` for what happens, ``script`` for what is written, ``writer`` for the process that
is killed, ``checks`` for what is proved. ``screen`` alone knows how it looks.
"""
