greeting = "a module without a handler"
