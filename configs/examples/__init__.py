"""Networks of the example configurations, and how they are trained."""
