"""One module a language step, named as the recipes name it. Each has `run(recipe, root)` and works on a finished root."""
