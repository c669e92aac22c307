"""Account statements in files: CAMT.053, MT940 and CSV, read strictly into the same values.

Key: a bank's entry in a file has no id that is the same in every file. Window: the days from a statement's opening balance to its
closing one are whole. Cost: none, no bank is asked.
"""
