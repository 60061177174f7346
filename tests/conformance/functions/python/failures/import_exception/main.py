raise ValueError("conformance import")
