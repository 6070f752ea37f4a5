"""What commonly goes wrong with a network and its input, told by measuring.

`alternatives` are other ways to prepare images; `labelled` compares them by accuracy, `normalisation` by the statistics that
batch normalisation keeps. `answers` looks at outputs, `layers` at weights and the first layer. All of these are pure functions
of arrays; `examine` runs the network.
"""
