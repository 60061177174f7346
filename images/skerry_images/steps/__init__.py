"""One module a language step, named as the recipes name it. Each has `run(recipe, root, registry)` and works on a finished root; `registry` fetches pinned npm packages."""
