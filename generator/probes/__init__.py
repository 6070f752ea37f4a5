"""Input images: photographs, synthetic stimuli, one's own files and archives; and how they become a network's input."""

from generator.probes.listing import check_readable, list_probes
from generator.probes.prepare import Prepared, prepare
from generator.probes.probe import Probe

__all__ = ["Prepared", "Probe", "check_readable", "list_probes", "prepare"]
