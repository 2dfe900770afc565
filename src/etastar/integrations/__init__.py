"""The schedule inside each framework, and the run log that every one of them can write.

One module a framework: `etastar.integrations.torch`, `.optax`, `.transformers`, `.lightning` and
`.keras`. Each imports its own framework, numpy and `etastar.schedule`, and nothing else; so this
file imports nothing.
"""
