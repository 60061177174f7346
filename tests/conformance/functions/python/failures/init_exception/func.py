def new():
    raise ValueError("conformance start")
