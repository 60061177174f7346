"""Builds Skerry's base images from the recipes beside this package. `images/build` is the only caller."""
