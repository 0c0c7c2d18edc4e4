"""Feeds lines of the introspection protocol to Kamaelia's visualiser and compares what it understood.

The file has the protocol, then lines that begin with '#': what should be left at the end. Run by `introspection`.

The tokeniser, the interpreter of commands and the model of particles and bonds are Kamaelia's. Only what they import
for other purposes is stood in for: Axon (the package of that name on PyPI is another one) and pygame.
"""

import importlib
import sys
import types


class StandIn(types.ModuleType):
    """A module in which every name is an empty class."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (object,), {})
        setattr(self, name, made)
        return made


for name in ["Axon", "Axon.Component", "Axon.Ipc", "Axon.ThreadedComponent", "Axon.Scheduler",
             "Axon.AdaptiveCommsComponent", "Axon.CoordinatingAssistantTracker", "pygame", "pygame.locals",
             "Kamaelia.UI", "Kamaelia.UI.MH", "Kamaelia.UI.GraphicDisplay", "Kamaelia.UI.Pygame",
             "Kamaelia.UI.PygameDisplay"]:
    sys.modules[name] = StandIn(name)
for name, module in list(sys.modules.items()):
    parent, _, last = name.rpartition(".")
    if isinstance(module, StandIn) and parent:
        setattr(importlib.import_module(parent), last, module)

from Kamaelia.Support.Particles import Particle, ParticleSystem
from Kamaelia.Visualisation.PhysicsGraph.TopologyViewer import TopologyViewer
from Kamaelia.Visualisation.PhysicsGraph.lines_to_tokenlists import lines_to_tokenlists


class Node(Particle):
    radius = 10

    def __init__(self, position, ID, name):
        super().__init__(position=position, ID=ID)
        self.name = name

    def setOffset(self, offset):
        pass


class Laws:
    def particleMaxRange(self, ptype):
        return 100

    maxInteractRadius = 100


class Viewer(TopologyViewer):
    def __init__(self):
        self.physics = ParticleSystem(Laws())
        self.particleTypes = dict.fromkeys(["component", "inbox", "outbox"], Node)
        self.left, self.top, self.border, self.screensize = 0, 0, 100, (800, 600)
        self.biggestRadius, self.selected = 0, None

    def send(self, message, box="outbox"):
        sys.exit(f"the visualiser did not understand: {message}")


def main(path):
    lines = open(path, encoding="utf-8").read().splitlines()
    wanted = [line[2:].split("\t") for line in lines if line.startswith("# ")]
    lines = [line for line in lines if not line.startswith("#")]
    tokeniser = object.__new__(lines_to_tokenlists)
    # Its constructor ends with the pattern; what comes before is Axon's.
    lines_to_tokenlists.__init__(tokeniser)
    viewer = Viewer()
    most = 0
    for line in lines:
        tokens = tokeniser.lineToTokens(line)
        if not tokens:
            sys.exit(f"the tokeniser drops: {line}")
        viewer.doCommand(tokens)
        most = max(most, len(viewer.physics.particleDict))

    nodes = viewer.physics.particleDict
    components = {(p.ID, p.name) for p in nodes.values() if p.originaltype == "component"}
    links = {(p.ID, q.ID) for p in nodes.values() for q in p.getBondedTo()
             if p.originaltype != "component"}
    expected = {(i, n) for kind, i, n in wanted if kind == "NODE"}
    expected_links = {(a, b) for kind, a, b in wanted if kind == "LINK"}
    if not expected or not expected_links:
        sys.exit("there is no summary to compare with")
    for what, got, should in [("components", components, expected), ("links", links, expected_links)]:
        if got != should:
            sys.exit(f"{what}: understood {sorted(got)}, should be {sorted(should)}")
    boxes = [p for p in nodes.values() if p.originaltype != "component"]
    if any(len(p.bondedFrom) == 0 for p in boxes):
        sys.exit("a box belongs to no component")
    print(f"Kamaelia's visualiser understood {len(lines)} lines: {len(components)} components, {len(boxes)} boxes, "
          f"{len(links)} links at the end, {most} nodes at most")


main(sys.argv[1])
