"""The documents and files that are generated from a built ledger: one module for each output, `generate` writes all of them."""
