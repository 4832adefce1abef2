"""Read backend logs: find crypto errors in blocks, parse the records that hit, attribute them to sessions.

A message that fails leaves up to three traces: libsignal's console text (stderr, no time, no session, no message id),
Baileys' pino record (message id, mostly no session) and the application's own line (message id and session). They are
one error: ``records`` parses each trace, ``correlate`` joins them, ``reader`` feeds both from blocks of bytes.
"""
