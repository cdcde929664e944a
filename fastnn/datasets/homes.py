"""Where the data sets are published, and the checksums of their files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Home:
    """The public home of a data set.

    Attributes
    ----------
    name : str
        Of the set; also of its folder below the folder of all data.
    url : str
        The address that names of files are appended to.
    files : dict of str to str
        Names of the files, and the MD5 sum of each.
    """

    name: str
    url: str
    files: dict[str, str]


MNIST = Home(
    "mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)

FASHION_MNIST = Home(
    "fashion-mnist",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)

EMNIST = Home(
    "emnist", "https://biometrics.nist.gov/cs_links/EMNIST/", {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"}
)

QMNIST = Home(
    "qmnist",
    "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
    {
        "qmnist-train-images-idx3-ubyte.gz": "ed72d4157d28c017586c42bc6afe6370",
        "qmnist-train-labels-idx2-int.gz": "0058f8dd561b90ffdd0f734c6a30e5e4",
        "qmnist-test-images-idx3-ubyte.gz": "1394631089c404de565df7b7aeaf9412",
        "qmnist-test-labels-idx2-int.gz": "5b5b05890a5e13444e108efe57b788aa",
    },
)

CIFAR10 = Home(
    "cifar-10",
    "https://www.cs.toronto.edu/~kriz/",
    {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
)

SVHN = Home(
    "svhn",
    "http://ufldl.stanford.edu/housenumbers/",
    {
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
)

IMDB = Home(
    "imdb",
    "https://ai.stanford.edu/~amaas/data/sentiment/",
    {"aclImdb_v1.tar.gz": "7c2ac02c03563afcf9b574c7e56c153a"},
)
