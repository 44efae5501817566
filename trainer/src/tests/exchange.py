"""Networks of torchvision, timm and the book for the tests of weight exchange.

usage: exchange.py FOLDER

FOLDER/cases.json lists the cases, each a model of a library or of the book. `give` writes the weights of case NAME to
NAME.weights.safetensors, and images, labels and the model's results to NAME.given.safetensors: logits in evaluation and
training mode, gradients of some layers. `take` loads NAME.exported.safetensors strictly into the model and writes the
logits of the same images in evaluation mode to NAME.taken.safetensors. Exits with 77 if this Python lacks the
libraries.
"""

import importlib
import json
import sys
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file, save_file
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    print(error)
    sys.exit(77)

VERSIONS = {"torchvision": "0.26.0", "timm": "1.0."}
IMAGES = 2


class BookBlock(nn.Module):
    """The ResNeXt block of "Dive into Deep Learning", section 8.6."""

    def __init__(self, in_channels, channels, group_width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels // group_width)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(channels) for _ in range(3))
        if stride > 1:
            self.conv4, self.bn4 = nn.Conv2d(in_channels, channels, 1, stride), nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (self.bn4(self.conv4(x)) if hasattr(self, "conv4") else x))


class BookRegNetX32(nn.Module):
    """RegNetX32 of the book's section 8.8: depths 4 and 6, widths 32 and 80, groups of 16 channels."""

    # The book's layers and torchvision's names for them.
    LAYERS = {"conv1": "f.a.0", "bn1": "f.a.1", "conv2": "f.b.0", "bn2": "f.b.1", "conv3": "f.c.0", "bn3": "f.c.1"}
    LAYERS |= {"conv4": "proj.0", "bn4": "proj.1"}

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        stage1 = [BookBlock(32, 32, 16, 2 if block == 0 else 1) for block in range(4)]
        stage2 = [BookBlock(80 if block else 32, 80, 16, 1 if block else 2) for block in range(6)]
        self.body = nn.Sequential(nn.Sequential(*stage1), nn.Sequential(*stage2))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(80, 10))

    def forward(self, x):
        return self.head(self.body(self.stem(x)))

    @classmethod
    def name(cls, own):
        """Returns torchvision's name for the book's tensor `own`."""
        section, *rest = own.split(".")
        if section == "stem":
            return own
        if section == "head":
            return f"fc.{rest[1]}"
        stage, block, layer, tensor = int(rest[0]) + 1, *rest[1:]
        return f"trunk_output.block{stage}.block{stage}-{block}.{cls.LAYERS[layer]}.{tensor}"


def model_of(case):
    if case["library"] == "book":
        return BookRegNetX32()
    library = sys.modules[case["library"]]
    if case["library"] == "timm":
        return library.create_model(case["model"])
    return getattr(library.models, case["model"])()


def name_of(case, name):
    """Returns the name under which a tensor is exchanged."""
    return BookRegNetX32.name(name) if case["library"] == "book" else name


def randomized(model):
    """Randomizes parameters and statistics, so that none is exactly 0 or 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.01))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand_like(buffer) * 0.5)
    return model


def give(case, folder):
    torch.manual_seed(1)
    model = randomized(model_of(case))
    weights = {name_of(case, name): tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / f"{case['name']}.weights.safetensors")
    images = torch.randn(IMAGES, case["channels"], case["side"], case["side"])
    labels = torch.arange(IMAGES)
    with torch.no_grad():
        evaluation = model.eval()(images)
    logits = model.train()(images)
    F.cross_entropy(logits, labels).backward()
    named = {name_of(case, name): parameter for name, parameter in model.named_parameters()}
    gradients = {f"gradient.{name}": named[name].grad for name in case["gradients"]}
    given = {"images": images, "labels": labels, "evaluation": evaluation, "logits": logits.detach(), **gradients}
    save_file(given, folder / f"{case['name']}.given.safetensors")


def take(case, folder):
    model = model_of(case)
    exported = load_file(folder / f"{case['name']}.exported.safetensors")
    if case["library"] == "book":
        own = {name_of(case, name): name for name in model.state_dict()}
        exported = {own[name]: tensor for name, tensor in exported.items()}
    model.load_state_dict(exported, strict=True)
    images = load_file(folder / f"{case['name']}.given.safetensors")["images"]
    with torch.no_grad():
        save_file({"evaluation": model.eval()(images)}, folder / f"{case['name']}.taken.safetensors")


def require(library):
    """Loads a library that a case needs; some take seconds."""
    if library not in VERSIONS:
        return
    try:
        found = importlib.import_module(library).__version__
    except ImportError as error:
        print(error)
        sys.exit(77)
    if not found.startswith(VERSIONS[library]):
        print(f"{library} {found} is not {VERSIONS[library]}")
        sys.exit(77)


def main():
    folder = Path(sys.argv[1])
    cases = json.loads((folder / "cases.json").read_text())
    for library in {case["library"] for case in cases}:
        require(library)
    for work, done in ((give, "given"), (take, "taken")):
        for case in cases:
            torch.set_num_threads(case["threads"])
            work(case, folder)
        print(done, flush=True)
        sys.stdin.readline()  # the trainer's turn


if __name__ == "__main__":
    main()
