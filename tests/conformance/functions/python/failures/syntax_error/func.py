def new(:
    pass
