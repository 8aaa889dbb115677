"""What can be downloaded: files, sizes, checksums, terms, and how to read it once it is there.

COCO publishes no checksums; those here are what several third parties found, one for the files of Flickr8k and for
Karpathy's. COCO's own host has no valid certificate, the same files on S3 have, so that is asked first.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Archive:
    """One file to fetch and unpack."""

    name: str
    kind: Literal["annotations", "pictures"]
    urls: tuple[str, ...]
    """Where it is, best first; empty where it must be requested from its authors."""
    size: int
    """Bytes; about, unless ``exact``."""
    checksum: str = ""
    """``sha256:...`` or ``md5:...``; empty where none is known."""
    exact: bool = True
    members: tuple[str, ...] = ()
    """The members that are needed; empty for all."""
    folder: str = ""
    """Where below the data set's root its pictures go, without folders of their own; empty: as they are packed."""
    pictures: int = 0
    """How many it must hold."""

    @property
    def unpacked(self) -> int:
        """Bytes once unpacked, about: JPEG does not shrink, and JSON and text do to a fifth."""
        return self.size if self.kind == "pictures" else 5 * self.size


@dataclass(frozen=True)
class Source:
    """A data set that can be downloaded."""

    name: str
    title: str
    archives: tuple[Archive, ...]
    terms: str
    page: str
    settings: tuple[str, ...]
    """The config that reads it, as ``key=value`` without ``dataset.root``."""
    request: str = ""
    """How to get what cannot simply be downloaded."""


_COCO_HOSTS: Final = ("https://s3.amazonaws.com/images.cocodataset.org", "http://images.cocodataset.org")
_COCO_TERMS: Final = "captions: CC BY 4.0; photographs: under their Flickr licences, see the annotations"


def _coco(path: str, kind: Literal["annotations", "pictures"], size: int, checksum: str, pictures: int = 0) -> Archive:
    name = path.rpartition("/")[2]
    return Archive(name, kind, tuple(f"{host}/{path}" for host in _COCO_HOSTS), size, checksum, pictures=pictures)


def _karpathy(member: str) -> Archive:
    url = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
    checksum = "sha256:4cfd70132527b80933105e5829dc9034eaab9573482e2e680abbab6130244817"
    return Archive("caption_datasets.zip", "annotations", (url,), 36_745_453, checksum, members=(member,))


_FLICKR8K: Final = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"

SOURCES: Final[dict[str, Source]] = {
    source.name: source
    for source in (
        Source(
            "coco",
            "COCO captions of 2014 with Karpathy's split: 123,287 photographs",
            (
                _karpathy("dataset_coco.json"),
                _coco(
                    "annotations/annotations_trainval2014.zip",
                    "annotations",
                    252_872_794,
                    "md5:0a379cfc70b0e71301e0f377548639bd",
                ),
                _coco("zips/val2014.zip", "pictures", 6_645_013_297, "md5:a3d79f5ed8d289b7a7554ce06a5782b3", 40_504),
                _coco("zips/train2014.zip", "pictures", 13_510_573_713, "md5:0da8c0bd3d6becc4dcb32757491aca88", 82_783),
            ),
            _COCO_TERMS,
            "https://cocodataset.org",
            ("dataset.format=karpathy",),
        ),
        Source(
            "coco2017",
            "COCO captions of 2017: 123,287 photographs, 118,287 to train on",
            (
                _coco(
                    "annotations/annotations_trainval2017.zip",
                    "annotations",
                    252_907_541,
                    "sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
                ),
                _coco(
                    "zips/val2017.zip",
                    "pictures",
                    815_585_330,
                    "sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
                    5_000,
                ),
                _coco(
                    "zips/train2017.zip",
                    "pictures",
                    19_336_861_798,
                    "sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
                    118_287,
                ),
            ),
            _COCO_TERMS,
            "https://cocodataset.org",
            ("dataset.format=coco",),
        ),
        Source(
            "flickr8k",
            "Flickr8k: 8,091 photographs with five captions each",
            (
                Archive(
                    "Flickr8k_text.zip",
                    "annotations",
                    (f"{_FLICKR8K}/Flickr8k_text.zip",),
                    2_300_000,
                    "md5:bf6c1abcb8e4a833b7f922104de18627",
                    exact=False,
                ),
                Archive(
                    "Flickr8k_Dataset.zip",
                    "pictures",
                    (f"{_FLICKR8K}/Flickr8k_Dataset.zip",),
                    1_100_000_000,
                    "md5:f18a1e2920de5bd84dae7cf08ec78978",
                    exact=False,
                    pictures=8_091,
                ),
            ),
            "for research and education only; the photographs belong to their photographers",
            "https://hockenmaier.cs.illinois.edu/8k-pictures.html",
            ("dataset.format=flickr",),
        ),
        Source(
            "flickr30k",
            "Flickr30k with Karpathy's split: 31,783 photographs with five captions each",
            (
                _karpathy("dataset_flickr30k.json"),
                Archive(
                    "flickr30k-images.tar.gz",
                    "pictures",
                    (),
                    4_400_000_000,
                    exact=False,
                    folder="flickr30k-images",
                    pictures=31_783,
                ),
            ),
            "for research and education only; the photographs belong to their photographers",
            "https://shannon.cs.illinois.edu/DenotationGraph/",
            ("dataset.format=karpathy",),
            "its authors send the photographs on request, by the form at the end of "
            "https://shannon.cs.illinois.edu/DenotationGraph/",
        ),
    )
}
"""By the name that ``captioner download`` takes; ``shapes`` is generated, not downloaded."""
