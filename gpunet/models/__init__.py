"""Whole models, each a plain `nn.Module` that reads from top to bottom, with its paper named.

`kind = "NAME"` in the `[model]` of a configuration takes a class of this room.
"""
