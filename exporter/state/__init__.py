"""Our durable state, and our only SQL: cursors, records, ledger, evidence, outbox. One SQLite file.

The rule that everything here keeps: a cursor moves in the transaction that stores what it passed, and a thing is
forgotten only after its receipt is stored.
"""
