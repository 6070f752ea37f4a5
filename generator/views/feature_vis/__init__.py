"""Feature visualisation: images optimised to excite a unit (Erhan et al. 2009; Olah, Mordvintsev, Schubert 2017, Distill).

`parameterisations` say what is optimised, `transforms` what the network sees of it, `objectives` what is climbed,
`optimisation` how; `settings` holds the presets, `draw` makes tiles of the results.
"""
