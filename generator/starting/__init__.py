"""From a network that is named on the command line, and images, to a configuration that its owner can edit.

`networks` reads what the argument names, `images` looks at the pictures, `sizing` chooses how much is computed,
`writing` writes the YAML with `yaml_text`. Nothing here runs a network; its graph comes from whoever calls.
"""
