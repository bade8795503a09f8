"""Addresses of published weights (project cnnimageretrieval-pytorch, MIT licence).

The hexadecimal end of a name is the start of the file's SHA-256.
"""

_IMAGENET = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/networks/imagenet/"
_SFM120K = "http://cmp.felk.cvut.cz/cnnimageretrieval/data/whiten/retrieval-SfM-120k/"


def _whitening(names):
    return {
        key: f"{_SFM120K}retrieval-SfM-120k-{key}-{kind}-{digits}.pth"
        for key, kind, digits in (name.split() for name in names)
    }


# ImageNet weights converted from Caffe; better for retrieval than those of torchvision
FEATURES = {
    "vgg16": _IMAGENET + "imagenet-caffe-vgg16-features-d369c8e.pth",
    "resnet50": _IMAGENET + "imagenet-caffe-resnet50-features-ac468af.pth",
    "resnet101": _IMAGENET + "imagenet-caffe-resnet101-features-10a101d.pth",
    "resnet152": _IMAGENET + "imagenet-caffe-resnet152-features-1011020.pth",
}

# linear layer for the vectors of all locations: by architecture
L_WHITENING = _whitening(["resnet101 lwhiten 9f830ef"])

# linear layer for the vectors of regions: by "<architecture>-<pooling>-r"
R_WHITENING = _whitening(
    [
        "alexnet-gem-r rwhiten c8cf7e2",
        "vgg16-gem-r rwhiten 19b204e",
        "resnet101-mac-r rwhiten 7f1ed8c",
        "resnet101-gem-r rwhiten adace84",
    ]
)

# linear layer for the descriptor: by "<architecture>[-lw]-<pooling>[-r]"
WHITENING = _whitening(
    [
        "alexnet-gem whiten 454ad53",
        "alexnet-gem-r whiten 4c9126b",
        "vgg16-gem whiten eaa6695",
        "vgg16-gem-r whiten 83582df",
        "resnet50-gem whiten f15da7b",
        "resnet101-mac-r whiten 9df41d3",
        "resnet101-gem whiten 22ab0c1",
        "resnet101-gem-r whiten b379c0a",
        "resnet101-gemmp whiten 770f53c",
        "resnet152-gem whiten abe7b93",
        "densenet121-gem whiten 79e3eea",
        "densenet169-gem whiten 6b2a76a",
        "densenet201-gem whiten 22ea45c",
    ]
)
