"""Files of others: no code of theirs runs, none leads elsewhere, none fills the memory."""
