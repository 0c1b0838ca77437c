"""Pure decisions about the ledger: what a link seals, how an act is told, which repeats are left out."""
